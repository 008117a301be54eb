// As client.py: its OpenSSL is in the program itself, or what the distribution links it with.
const tls = require('tls')
const readline = require('readline')

const sizes = process.argv.slice(2).map(Number)
const text = (number, size) => {
  let words = ''
  for (let at = 0; words.length < size; at++) {
    words += String(number).padStart(4, '0') + '-' + String(at).padStart(8, '0') + ' '
  }
  return words.slice(0, size)
}

console.log('ready')
let number = 0
readline.createInterface({ input: process.stdin }).on('line', line => {
  const mine = number++
  const left = sizes.slice()
  let waits = 0
  const next = () => {
    if (left.length === 0) return socket.end()
    waits = left.shift()
    socket.write(waits + '\n')
    socket.write(text(mine, waits))
  }
  const options = { port: Number(line), host: '127.0.0.1', rejectUnauthorized: false }
  const socket = tls.connect(options, next)
  if (process.env.TAPPED_KEYS) {
    socket.on('keylog', key => require('fs').appendFileSync(process.env.TAPPED_KEYS, key))
  }
  socket.on('data', data => { waits -= data.length; if (waits === 0) next() })
  socket.on('close', () => console.log('done'))
}).on('close', () => process.exit())
