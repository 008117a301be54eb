// As client.py, with two connections at once and stacks that grow while they speak.
package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
)

func text(number, size int) string {
	var words strings.Builder
	for at := 0; words.Len() < size; at++ {
		fmt.Fprintf(&words, "%04d-%08d ", number, at)
	}
	return words.String()[:size]
}

// Deep enough to make the runtime move the goroutine's stack.
func deep(levels int, then func()) {
	var pad [256]byte
	if levels == 0 {
		then()
		return
	}
	pad[levels%len(pad)] = 1
	deep(levels-1, then)
	_ = pad
}

func talk(port string, number int, sizes []int) {
	config := &tls.Config{InsecureSkipVerify: true}
	if path := os.Getenv("TAPPED_KEYS"); path != "" {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		defer file.Close()
		config.KeyLogWriter = file
	}
	connection, err := tls.Dial("tcp", "127.0.0.1:"+port, config)
	if err != nil {
		panic(err)
	}
	defer connection.Close()
	for at, size := range sizes {
		deep(at*7, func() {
			fmt.Fprintf(connection, "%d\n", size)
			if _, err := io.WriteString(connection, text(number, size)); err != nil {
				panic(err)
			}
			if _, err := io.CopyN(io.Discard, connection, int64(size)); err != nil {
				panic(err)
			}
		})
	}
}

func main() {
	sizes := []int{}
	for _, argument := range os.Args[1:] {
		size, err := strconv.Atoi(argument)
		if err != nil {
			panic(err)
		}
		sizes = append(sizes, size)
	}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var both sync.WaitGroup
		for number := 0; number < 2; number++ {
			both.Add(1)
			go func(number int) {
				defer both.Done()
				talk(lines.Text(), number, sizes)
			}(number)
		}
		both.Wait()
		fmt.Println("done")
	}
}
