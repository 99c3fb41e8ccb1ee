package natsbus

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// Every request subject that the contract names is a known operation: one that
// is missing here would be answered as unknown.
func TestOperationsAreTheContracts(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../api/names.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) == 0 {
			return true
		}
		lit, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		subject, err := strconv.Unquote(lit.Value)
		if err != nil || !strings.HasPrefix(spec.Names[0].Name, "Subject") || !strings.HasPrefix(subject, "kv.") {
			return true
		}
		found++
		if !slices.Contains(Operations, subject) {
			t.Errorf("%s = %q is not among Operations", spec.Names[0].Name, subject)
		}
		return true
	})
	if found != len(Operations) {
		t.Errorf("the contract names %d request subjects, Operations has %d", found, len(Operations))
	}
}

// answerAs answers requests with the name of the server that they arrived at.
func answerAs(t *testing.T, nc *nats.Conn, subject, queue, name string) {
	t.Helper()
	subscribe(t, nc, subject, queue, func(m *nats.Msg) { _ = m.Respond([]byte(name)) })
}

// A server that has its own clients answered at one place sends them nowhere else,
// and loses no request when that changes.
func TestAnswerAt(t *testing.T) {
	subjects := []string{"kv.get.>", "kv.range"}
	a := startClient(t, clientConfig("a", "127.0.0.1:0"))
	b := startClient(t, clientConfig("b", "127.0.0.1:0", a.RouteAddress()))
	atA, atB := dial(t, a), dial(t, b)
	insideA, insideB := service(t, a), service(t, b)
	answerAs(t, insideB, "kv.>", "q", "b")
	for _, s := range subjects {
		answerAs(t, insideA, At("a")+s, "", "a")
	}
	who := func(nc *nats.Conn, subject string) string {
		t.Helper()
		m, err := nc.Request(subject, nil, patience)
		if err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		return string(m.Data)
	}
	mustEventually(t, "the route", func() bool {
		m, err := atA.Request("kv.put.x", nil, patience)
		return err == nil && string(m.Data) == "b"
	})
	for _, s := range subjects {
		answerAs(t, insideB, At("b")+s, "", "b alone")
	}
	turn := func(server string) {
		t.Helper()
		if err := a.AnswerAt(subjects, server); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		turn("a")
		if got := who(atA, "kv.get.db.primary") + who(atA, "kv.range") + who(atA, "kv.put.x") + who(atB, "kv.get.x"); got != "aabb" {
			t.Errorf("answered here: %s", got)
		}
		turn("b")
		mustEventually(t, "a to know of b's subscription", func() bool {
			m, err := atA.Request("kv.get.x", nil, patience)
			return err == nil && string(m.Data) == "b alone"
		})
		if got := who(atA, "kv.range") + who(atB, "kv.range"); got != "b aloneb" {
			t.Errorf("answered there: %s", got)
		}
		turn("")
		if got := who(atA, "kv.get.db.primary") + who(atA, "kv.range"); got != "bb" {
			t.Errorf("answered by any: %s", got)
		}
	}
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		turns := 0
		for ; ; turns++ {
			select {
			case <-stop:
				stopped <- turns
				return
			default:
				_ = a.AnswerAt(subjects, []string{"", "a", "b"}[turns%3])
			}
		}
	}()
	for i := range 2000 {
		who(atA, fmt.Sprintf("kv.get.k%d", i))
	}
	close(stop)
	if <-stopped == 0 {
		t.Error("nothing was turned")
	}
}

// What a client sends past the mapping is on no known subject, and a client
// cannot listen there.
func TestNobodySpeaksPastAnswerAt(t *testing.T) {
	a := startClient(t, clientConfig("a", "127.0.0.1:0"))
	inside := service(t, a)
	answerAs(t, inside, At("a")+"kv.get.>", "", "a")
	answerAs(t, inside, SubjectUnknown+">", "", "unknown")
	denied := make(chan error, 10)
	outside := dial(t, a, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	if err := a.AnswerAt([]string{"kv.get.>"}, "a"); err != nil {
		t.Fatal(err)
	}
	for subject, want := range map[string]string{"kv.get.x": "a", At("a") + "kv.get.x": "unknown", "kvat.other.kv.put.x": "unknown"} {
		m, err := outside.Request(subject, nil, patience)
		if err != nil || string(m.Data) != want {
			t.Errorf("%s: %v %v, want %s", subject, m, err, want)
		}
	}
	subscribe(t, outside, At("a")+">", "", func(*nats.Msg) {})
	if err := first(t, denied); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("a client may listen to requests: %v", err)
	}
}
