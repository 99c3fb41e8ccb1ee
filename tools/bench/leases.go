package main

import (
	"context"
	"fmt"
)

// leaseClients is how many clients the lease rows have, each with a connection.
const leaseClients = 64

// leaseRows grant leases and renew them; an operation is one lease.
func leaseRows() []row {
	rows := []row{{name: fmt.Sprintf("lease-grant/%d", leaseClients), needs: leasing, run: func(ctx context.Context, b *bench, s system) (result, error) {
		return b.loop(ctx, s, leaseGrant, leaseClients)
	}}}
	for _, l := range []struct {
		name string
		to   place
	}{{"lease-keepalive", everywhere}, {"lease-keepalive-leader", atLeader}, {"lease-keepalive-follower", atFollower}} {
		rows = append(rows, row{name: fmt.Sprintf("%s/%d", l.name, leaseClients), needs: leasing, run: func(ctx context.Context, b *bench, s system) (result, error) {
			return b.keepAlive(ctx, s, l.to)
		}})
	}
	return rows
}

func (b *bench) keepAlive(ctx context.Context, s system, to place) (result, error) {
	session, err := s.open(ctx, leaseClients, to)
	if err != nil {
		return result{}, err
	}
	defer session.close()
	if err := session.leases(ctx, leaseClients); err != nil {
		return result{}, fmt.Errorf("granting leases: %w", err)
	}
	r, err := b.closedLoop(ctx, s.servers(), leaseClients, func(ctx context.Context, client, _ int) error {
		return session.keep(ctx, client)
	})
	r.Ops *= leasesPerClient
	return r, err
}
