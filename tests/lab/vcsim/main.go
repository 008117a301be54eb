// A vCenter of govmomi's simulator, for the live tests: it checks the password.
//
//	vcsim -address 10.91.0.2:80 -user administrator@vsphere.local -password ...
//	vcsim -tls -keys FILE -address 10.91.0.2:443 ...
//	vcsim -any ...    takes every account, with any password
//	vcsim -machines web-1,web-2 ...                       these machines instead of the model's
//	vcsim -esx -user vpxuser ...                          an ESXi host
//	vcsim -hosts 10.92.0.6:80 -host-password ...          passes guest operations on to hosts
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
	"sort"
	"strings"
	"syscall"

	"github.com/vmware/govmomi/simulator"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	user := flag.String("user", "", "the only account")
	password := flag.String("password", "", "its password")
	anyone := flag.Bool("any", false, "take every account")
	withTLS := flag.Bool("tls", false, "serve HTTPS with a certificate of its own making")
	keys := flag.String("keys", "", "where to write the TLS key log")
	esx := flag.Bool("esx", false, "be an ESXi host")
	machines := flag.String("machines", "", "names of the machines, with commas between")
	hosts := flag.String("hosts", "", "addresses of hosts that have them, with commas between")
	hostPassword := flag.String("host-password", "", "of vpxuser there")
	flag.Parse()
	// The simulator takes any password when it is told none.
	account := url.UserPassword(*user, *password)
	if *anyone {
		account = nil
	} else if *user == "" || *password == "" {
		log.Fatal("vcsim: -user and -password are needed, or -any")
	}

	model := simulator.VPX()
	if *esx {
		model = simulator.ESX()
	}
	if *machines != "" {
		model.Cluster, model.Machine = 0, strings.Count(*machines, ",")+1
	}
	if err := model.Create(); err != nil {
		log.Fatalf("vcsim: %v", err)
	}
	defer model.Remove()
	if *machines != "" {
		nameMachines(strings.Split(*machines, ","))
	}
	start := startHere()
	if *hosts != "" {
		var err error
		if start, err = startAtHosts(strings.Split(*hosts, ","), *hostPassword); err != nil {
			log.Fatalf("vcsim: %v", err)
		}
	}
	serveGuests(start)
	model.Service.Listen = &url.URL{Host: *address, User: account}
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

func nameMachines(names []string) {
	found := simulator.Map.All("VirtualMachine")
	sort.Slice(found, func(i, j int) bool {
		return found[i].Reference().Value < found[j].Reference().Value
	})
	for at, each := range found {
		machine := each.(*simulator.VirtualMachine)
		machine.Name, machine.Config.Name, machine.Summary.Config.Name = names[at], names[at], names[at]
	}
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
