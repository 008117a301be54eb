// Guest operations: no guest is there, so a program is a number and nothing runs.
package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const work = 5 * time.Millisecond // what a program takes to start

var processManager = types.ManagedObjectReference{
	Type:  "GuestProcessManager",
	Value: "guestOperationsProcessManager",
}

// starter starts a program in the guest of the machine of that name; "" is any operation id.
type starter func(ctx context.Context, machine, operation string, req *types.StartProgramInGuest) (int64, error)

type guestProcessManager struct {
	mo.GuestProcessManager
	start starter
}

// The simulator is to serve several calls at once, as a vCenter does.
func (*guestProcessManager) Lock()   {}
func (*guestProcessManager) Unlock() {}

func (m *guestProcessManager) StartProgramInGuest(
	ctx *simulator.Context, req *types.StartProgramInGuest,
) soap.HasFault {
	body := new(methods.StartProgramInGuestBody)
	machine, known := ctx.Map.Get(req.Vm).(*simulator.VirtualMachine)
	account, named := req.Auth.(*types.NamePasswordAuthentication)
	if !known || !named || account.Username == "" || account.Password == "" {
		body.Fault_ = simulator.Fault("", new(types.InvalidGuestLogin))
		return body
	}
	pid, err := m.start(context.Background(), machine.Name, ctx.Header.ID, req)
	if err != nil {
		body.Fault_ = simulator.Fault(err.Error(), new(types.GuestOperationsUnavailable))
		return body
	}
	body.Res = &types.StartProgramInGuestResponse{Returnval: pid}
	return body
}

// startHere is a host's.
func startHere() starter {
	var last int64 = 1000
	return func(context.Context, string, string, *types.StartProgramInGuest) (int64, error) {
		time.Sleep(work)
		return atomic.AddInt64(&last, 1), nil
	}
}

func serveGuests(start starter) {
	manager := &guestProcessManager{start: start}
	manager.Self = processManager
	simulator.Map.Put(manager)
}
