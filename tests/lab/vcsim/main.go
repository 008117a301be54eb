// A vCenter of govmomi's simulator, for the live tests: it checks the password.
//
//	vcsim -address 10.91.0.2:80 -user administrator@vsphere.local -password ...
//	vcsim -tls -keys FILE -address 10.91.0.2:443 ...
//
// It prints its URL, without credentials, once it accepts connections, and runs until SIGTERM.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/vmware/govmomi/simulator"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	user := flag.String("user", "", "the only account")
	password := flag.String("password", "", "its password")
	withTLS := flag.Bool("tls", false, "serve HTTPS with a certificate of its own making")
	keys := flag.String("keys", "", "where to write the TLS key log")
	flag.Parse()
	// The simulator takes any password when it is told none.
	if *user == "" || *password == "" {
		log.Fatal("vcsim: -user and -password are needed")
	}

	model := simulator.VPX()
	if err := model.Create(); err != nil {
		log.Fatalf("vcsim: %v", err)
	}
	defer model.Remove()
	model.Service.Listen = &url.URL{Host: *address, User: url.UserPassword(*user, *password)}
	if *withTLS {
		model.Service.TLS = &tls.Config{KeyLogWriter: keyLog(*keys)}
	}
	server := model.Service.NewServer()
	defer server.Close()

	served := *server.URL
	served.User = nil
	fmt.Println(served.String())

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	<-stop
}

func keyLog(path string) io.Writer {
	if path == "" {
		return io.Discard
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatalf("vcsim: %v", err)
	}
	return file
}
