package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/kvorum/kvorum/libs/client"
)

// servers are the nodes of the cluster, as "kvorum dev" starts it.
const servers = "nats://127.0.0.1:4222,nats://127.0.0.1:4223,nats://127.0.0.1:4224"

func Example() {
	ctx := context.Background()
	c, err := client.Connect(ctx, servers)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	put, err := c.Put(ctx, "/db/primary", []byte("10.0.0.6"))
	if err != nil {
		log.Fatal(err)
	}
	kv, err := c.Get(ctx, "/db/primary")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s since revision %d\n", kv.Value, put.Revision)
}

// A write that depends on what was read: nobody else's write is lost.
func ExampleClient_Put() {
	ctx := context.Background()
	c, err := client.Connect(ctx, servers)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for {
		kv, err := c.Get(ctx, "/counter")
		if err != nil && !errors.Is(err, client.ErrNotFound) {
			log.Fatal(err)
		}
		next := append(kv.Value, 'I')
		_, err = c.Put(ctx, "/counter", next, client.IfRevision(kv.ModRevision)) // 0: it must not exist
		switch {
		case errors.Is(err, client.ErrCompareFailed):
			continue
		case errors.Is(err, client.ErrTimeout):
			log.Fatal("the put may have taken effect or not: ", err)
		case err != nil:
			log.Fatal(err)
		}
		return
	}
}

// Become the leader if there is none, or learn who it is.
func ExampleClient_Txn() {
	ctx := context.Background()
	c, err := client.Connect(ctx, servers)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	res, err := c.Txn().
		If(client.CreateRevision("/leader").Equal(0)).
		Then(client.Put("/leader", []byte("server-3"))).
		Else(client.Get("/leader")).
		Commit(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if res.Succeeded {
		fmt.Println("leading since revision", res.Revision)
	} else if !res.Omitted {
		fmt.Printf("the leader is %s\n", res.Results[0].Range.KVs[0].Value)
	}
}

// Keep a copy of a part of the store: list it, then watch from the revision
// after the list's.
func ExampleClient_Watch() {
	ctx := context.Background()
	c, err := client.Connect(ctx, servers)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	db := client.Prefix("/db/")
	state, err := c.Range(ctx, db)
	if err != nil {
		log.Fatal(err)
	}
	mirror := map[string][]byte{}
	for kv, err := range c.List(ctx, db, client.AtRevision(state.Revision)) {
		if err != nil {
			log.Fatal(err)
		}
		mirror[kv.Key] = kv.Value
	}
	w, err := c.Watch(ctx, db, client.From(state.Revision+1))
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	for r, err := range w.Revisions() {
		if errors.Is(err, client.ErrCompacted) {
			log.Fatal("list again: ", err)
		} else if err != nil {
			log.Fatal(err)
		}
		for _, e := range r.Events { // all of one revision
			if e.Delete {
				delete(mirror, e.KV.Key)
			} else {
				mirror[e.KV.Key] = e.KV.Value
			}
		}
	}
}

// Work that one process at a time may do, in all of the cluster. What it writes
// is refused once it is not the holder any more, however late it notices.
func ExampleMutex() {
	ctx := context.Background()
	c, err := client.Connect(ctx, servers)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	s, err := c.NewSession(ctx, client.SessionTTL(5*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = s.Close(ctx) }() // gives back whatever it holds
	lock := client.NewMutex(s, "/locks/job")
	if _, err := lock.Lock(ctx); err != nil {
		log.Fatal(err)
	}
	working, stop := lock.Context(ctx) // ends when the lock is lost
	defer stop()
	for step := 1; step <= 3 && working.Err() == nil; step++ {
		res, err := c.Txn().If(lock.Held()).Then(client.Put("/job/step", fmt.Append(nil, step))).Commit(ctx)
		if err != nil {
			log.Fatal(err)
		}
		if !res.Succeeded {
			log.Fatal("the lock is another's: ", lock.Err())
		}
	}
}

// Of all servers that run this, one at a time is in the function.
func ExampleClient_RunWhileLeader() {
	ctx := context.Background()
	c, err := client.Connect(ctx, servers)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	err = c.RunWhileLeader(ctx, "/leader", []byte("server-3"), func(ctx context.Context, fence int64) error {
		for {
			select {
			case <-ctx.Done():
				return context.Cause(ctx) // campaign again
			case <-time.After(time.Second):
			}
			res, err := c.Txn().If(client.LockHeld("/leader", fence)).Then(client.Put("/beat", nil)).Commit(ctx)
			if err != nil {
				return err
			}
			if !res.Succeeded {
				return client.ErrNotHeld // as the store knows, before this process does
			}
		}
	})
	log.Fatal(err)
}

// Who leads, and who does after that.
func ExampleClient_Observe() {
	ctx := context.Background()
	c, err := client.Connect(ctx, servers)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for leader, err := range c.Observe(ctx, "/leader") {
		switch {
		case err != nil:
			log.Fatal(err)
		case leader.Fence == 0:
			fmt.Println("nobody leads")
		default:
			fmt.Printf("%s leads\n", leader.Value)
		}
	}
}

// A key that is gone two seconds after its last put: a sign of life.
func ExampleWithTTL() {
	ctx := context.Background()
	c, err := client.Connect(ctx, servers)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for range time.Tick(500 * time.Millisecond) {
		if _, err := c.Put(ctx, "/beat/web-1", []byte("up"), client.WithTTL(2*time.Second)); err != nil {
			log.Print("no sign of life for now: ", err)
		}
	}
}
