package natsbus_test

import (
	"fmt"
	"time"

	"github.com/kvorum/kvorum/libs/natsbus"
	"github.com/nats-io/nats.go"
)

// A service answers requests on its own server of the client bus; a client
// needs the URL and nothing else.
func ExampleStartClient() {
	bus, err := natsbus.StartClient(natsbus.ClientConfig{
		Name: "node-1", Listen: "127.0.0.1:0", RouteListen: "127.0.0.1:0",
		ClusterName: "example", Secret: "from a file",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer bus.Close()
	service, err := bus.Service()
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = service.Subscribe(natsbus.SubjectUnknown+">", func(m *nats.Msg) {
		_ = m.Respond([]byte("no such operation"))
	})
	if err == nil {
		err = service.Flush()
	}
	if err != nil {
		fmt.Println(err)
		return
	}

	client, err := nats.Connect(bus.URL())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	answer, err := client.Request("kv.frobnicate.x", nil, time.Minute)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(answer.Data))
	// Output: no such operation
}
