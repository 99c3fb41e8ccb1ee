package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"

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
