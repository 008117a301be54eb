// Asks for URL over and over on CONNECTIONS connections; requests per second: requests URL COUNT CONNECTIONS
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return value
}

func ask(url string, count int) {
	own := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	client := &http.Client{Transport: own}
	for asked := 0; asked < count; asked++ {
		answer, err := client.Get(url)
		if err != nil {
			panic(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	own.CloseIdleConnections()
}

func main() {
	url, count, connections := os.Args[1], number(os.Args[2]), number(os.Args[3])
	begun := time.Now()
	var all sync.WaitGroup
	for at := 0; at < connections; at++ {
		all.Add(1)
		go func() {
			defer all.Done()
			ask(url, count/connections)
		}()
	}
	all.Wait()
	fmt.Printf("%.0f\n", float64(count)/time.Since(begun).Seconds())
}
