// A client of a vCenter in Go, for the live tests of the tap: a login, and a logout.
//
//	goclient https://user:password@10.91.0.2/sdk
package main

import (
	"context"
	"log"
	"net/url"
	"os"

	"github.com/vmware/govmomi"
)

func main() {
	ctx := context.Background()
	target, err := url.Parse(os.Args[1])
	if err != nil {
		log.Fatalf("goclient: %v", err)
	}
	client, err := govmomi.NewClient(ctx, target, true)
	if err != nil {
		log.Fatalf("goclient: %v", err)
	}
	if err := client.Logout(ctx); err != nil {
		log.Fatalf("goclient: %v", err)
	}
}
