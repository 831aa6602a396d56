// SPDX-License-Identifier: Apache-2.0

// brokerapi is what osbd's rate of provisions is compared with: a broker on the library that most
// Go brokers stand on, synchronous, its instances in a map, its log off. It keeps nothing.
//
//	brokerapi USER PASSWORD SERVICE PLAN PORT-FILE
//
// It writes the port that it listens on, on 127.0.0.1, to PORT-FILE.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"

	"code.cloudfoundry.org/brokerapi/v13"
	"code.cloudfoundry.org/brokerapi/v13/domain"
	"code.cloudfoundry.org/brokerapi/v13/domain/apiresponses"
)

type broker struct {
	domain.ServiceBroker // the calls that are never made: none of them
	services             []domain.Service
	mutex                sync.Mutex
	instances            map[string]domain.ProvisionDetails
}

func (b *broker) Services(context.Context) ([]domain.Service, error) {
	return b.services, nil
}

func (b *broker) Provision(_ context.Context, id string, details domain.ProvisionDetails,
	_ bool) (domain.ProvisionedServiceSpec, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if _, there := b.instances[id]; there {
		return domain.ProvisionedServiceSpec{}, apiresponses.ErrInstanceAlreadyExists
	}
	b.instances[id] = details
	return domain.ProvisionedServiceSpec{}, nil
}

func (b *broker) GetInstance(_ context.Context, id string,
	_ domain.FetchInstanceDetails) (domain.GetInstanceDetailsSpec, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	details, there := b.instances[id]
	if !there {
		return domain.GetInstanceDetailsSpec{}, apiresponses.ErrInstanceDoesNotExist
	}
	return domain.GetInstanceDetailsSpec{ServiceID: details.ServiceID, PlanID: details.PlanID,
		Parameters: details.RawParameters}, nil
}

func (b *broker) Deprovision(_ context.Context, id string, _ domain.DeprovisionDetails,
	_ bool) (domain.DeprovisionServiceSpec, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if _, there := b.instances[id]; !there {
		return domain.DeprovisionServiceSpec{}, apiresponses.ErrInstanceDoesNotExist
	}
	delete(b.instances, id)
	return domain.DeprovisionServiceSpec{}, nil
}

func run(user, password, service, plan, portFile string) error {
	off := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.Level(math.MaxInt)}))
	made := &broker{instances: map[string]domain.ProvisionDetails{}, services: []domain.Service{{
		ID: service, Name: "bench", Description: "makes nothing", Bindable: true,
		InstancesRetrievable: true,
		Plans:                []domain.ServicePlan{{ID: plan, Name: "small", Description: "small"}},
	}}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	if err := os.WriteFile(portFile, []byte(port), 0o600); err != nil {
		return err
	}
	return http.Serve(listener, brokerapi.New(made, off,
		brokerapi.BrokerCredentials{Username: user, Password: password}))
}

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: brokerapi USER PASSWORD SERVICE PLAN PORT-FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		fmt.Fprintf(os.Stderr, "brokerapi: %v\n", err)
		os.Exit(1)
	}
}
