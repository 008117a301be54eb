// A stand-in for what a vCenter does at its hosts: it logs in as vpxuser and passes guest operations
// on, over the public API. An operation id gets a suffix on the way; where the caller gave none, the
// vCenter makes one.
package main

import (
	"context"
	"fmt"
	"math/rand"
	"net/url"
	"sync/atomic"

	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

type machineAtHost struct {
	host *vim25.Client
	ref  types.ManagedObjectReference
}

// startAtHosts knows the machines of these hosts by name.
func startAtHosts(addresses []string, password string) (starter, error) {
	machines := map[string]machineAtHost{}
	for _, address := range addresses {
		if err := addHost(machines, address, password); err != nil {
			return nil, fmt.Errorf("host %s: %w", address, err)
		}
	}
	var calls uint32
	return func(
		ctx context.Context, name, operation string, req *types.StartProgramInGuest,
	) (int64, error) {
		machine, known := machines[name]
		if !known {
			return 0, fmt.Errorf("%s is at no host", name)
		}
		if operation == "" {
			operation = fmt.Sprintf("%08x", rand.Uint32())
		}
		hop := fmt.Sprintf("%s-%02x-01", operation, byte(atomic.AddUint32(&calls, 1)))
		asked := *req
		asked.This, asked.Vm = processManager, machine.ref
		answer, err := methods.StartProgramInGuest(
			context.WithValue(ctx, types.ID{}, hop), machine.host, &asked)
		if err != nil {
			return 0, err
		}
		return answer.Returnval, nil
	}, nil
}

func addHost(machines map[string]machineAtHost, address, password string) error {
	ctx := context.Background()
	client := soap.NewClient(&url.URL{Scheme: "http", Host: address, Path: "/sdk"}, true)
	host, err := vim25.NewClient(ctx, client)
	if err != nil {
		return err
	}
	host.UserAgent = "VMware-client/6.5.0"
	if err := session.NewManager(host).Login(ctx, url.UserPassword("vpxuser", password)); err != nil {
		return err
	}
	kind := []string{"VirtualMachine"}
	all, err := view.NewManager(host).CreateContainerView(ctx, host.ServiceContent.RootFolder, kind, true)
	if err != nil {
		return err
	}
	defer func() { _ = all.Destroy(ctx) }()
	var found []mo.VirtualMachine
	if err := all.Retrieve(ctx, kind, []string{"name"}, &found); err != nil {
		return err
	}
	for _, each := range found {
		machines[each.Name] = machineAtHost{host, each.Self}
	}
	return nil
}
