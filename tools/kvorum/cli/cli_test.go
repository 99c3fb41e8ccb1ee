package cli_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/tools/kvorum/cli"
)

const patience = 30 * time.Second

// run runs a command line and returns its exit code and output.
func run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = cli.Main(context.Background(), args, cli.Streams{In: strings.NewReader(stdin), Out: &out, Err: &err})
	return code, out.String(), err.String()
}

func TestUsage(t *testing.T) {
	for line, want := range map[string]struct {
		code           int
		stdout, stderr string // what they contain; "": they are empty
	}{
		"":                                {2, "usage: kvorum COMMAND", "name a command"},
		"help":                            {0, "Exit codes", ""},
		"--help":                          {0, "Exit codes", ""},
		"help put":                        {0, "usage: kvorum put", ""},
		"put --help":                      {0, "--if-revision N", ""},
		"version":                         {0, "kvorum", ""},
		"putt /a b":                       {2, "", "did you mean put?"},
		"frobnicate":                      {2, "", "see kvorum help"},
		"help pit":                        {2, "", "did you mean put?"},
		"put --if-revison 3 /a b":         {2, "", "did you mean --if-revision?"},
		"put --frobnicate /a b":           {2, "", "see kvorum put --help"},
		"put -x /a b":                     {2, "", "see kvorum put --help"},
		"--sever x get /a":                {2, "", "did you mean --server?"},
		"put /a":                          {2, "", "usage: kvorum put KEY VALUE"},
		"put --if-revision x /a b":        {2, "", "invalid argument"},
		"put --if-revision -1 /a b":       {2, "", "want 0 or more"},
		"get -o yaml /a":                  {2, "", "want json or table"},
		"get --timeout 0s /a":             {2, "", "want more than 0"},
		"del --prefix --if-revision 1 /a": {2, "", "not for --prefix"},
		"compact x":                       {2, "", "want a number"},
		"lease":                           {2, "", "usage: kvorum lease grant"},
		"lease grnt 5s":                   {2, "", "did you mean grant?"},
		"lease grant":                     {2, "", "0 arguments are given after grant"},
		"lease grant 5":                   {2, "", "want a duration"},
		"lease grant --id 12 5s":          {2, "", "want 16 hex digits"},
		"lease info 0000000000000000":     {2, "", "want 16 hex digits"},
		"lease list x":                    {2, "", "1 arguments are given after list"},
		"lease keepalive":                 {2, "", "0 arguments are given after keepalive"},
		"lock /l":                         {2, "", "usage: kvorum lock NAME -- COMMAND"},
		"lock --wait -1s /l true":         {2, "", "want 0 or more"},
		"elect --follow /l v":             {2, "", "without VALUE"},
		"put --ttl 0s /a b":               {2, "", "want more than 0"},
		"put --lease x /a b":              {2, "", "want 16 hex digits"},
		"txn {":                           {1, "", "bad_request"},
		"dev --frobnicate":                {2, "", "frobnicate"},
		"--timeout 50ms --server nats://127.0.0.1:1 get /a": {1, "", "cannot connect to nats://127.0.0.1:1"},
	} {
		code, stdout, stderr := run(t, "", strings.Fields(line)...)
		if code != want.code || !contains(stdout, want.stdout) || !contains(stderr, want.stderr) {
			t.Errorf("kvorum %s: exit code %d\nstdout %q\nstderr %q", line, code, stdout, stderr)
		}
		if strings.Count(stderr, "\n") > 1 {
			t.Errorf("kvorum %s: more than a line on stderr: %q", line, stderr)
		}
	}
}

func contains(s, part string) bool {
	return part == "" && s == "" || part != "" && strings.Contains(s, part)
}

// cluster answers what the test says, by subject; the last token may be *.
func cluster(t *testing.T, answers map[string]func(m *nats.Msg) *nats.Msg) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{ServerName: "node-1", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the NATS server does not start")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	for subject, answer := range answers {
		if _, err := nc.Subscribe(subject, func(m *nats.Msg) {
			a := answer(m)
			a.Subject = m.Reply
			_ = nc.PublishMsg(a)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return s.ClientURL()
}

func answer(m proto.Message) *nats.Msg {
	data, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return &nats.Msg{Data: data}
}

func refuse(e *api.Error) *nats.Msg {
	return &nats.Msg{Header: nats.Header(e.Header()), Data: e.Body()}
}

var (
	primary = &kvpb.KeyValue{Key: []byte("/db/primary"), Value: []byte("10.0.0.6"), CreateRevision: 2, ModRevision: 12, Version: 3}
	odd     = &kvpb.KeyValue{Key: []byte("/db/a b"), Value: []byte("\x00\xff\t"), CreateRevision: 4, ModRevision: 4, Version: 1}
)

func fake(t *testing.T) string {
	return cluster(t, map[string]func(*nats.Msg) *nats.Msg{
		"kv.get.>": func(m *nats.Msg) *nats.Msg {
			if m.Subject != "kv.get.db.primary" {
				return refuse(api.Errorf(api.KindNotFound, "the key does not exist"))
			}
			return &nats.Msg{Data: primary.Value, Header: nats.Header{
				"Kv-Create-Revision": {"2"}, "Kv-Mod-Revision": {"12"}, "Kv-Version": {"3"}, "Kv-Revision": {"20"}}}
		},
		"kv.put.>": func(m *nats.Msg) *nats.Msg {
			switch {
			case m.Header.Get("Kv-Ttl") == "1.5s" && m.Header.Get("Kv-Lease") == "00000000000f7f3a":
				return &nats.Msg{Header: nats.Header{"Kv-Revision": {"22"}}}
			case m.Header.Get("Kv-If-Revision") == "7":
				return refuse(&api.Error{Kind: api.KindCompareFailed, Message: "it has 12,\nnot 7"})
			case string(m.Data) != "from stdin":
				return refuse(api.Errorf(api.KindBadRequest, "%q", m.Data))
			}
			return &nats.Msg{Header: nats.Header{"Kv-Revision": {"21"}}}
		},
		"kv.delete.*": func(*nats.Msg) *nats.Msg {
			return &nats.Msg{Header: nats.Header{"Kv-Revision": {"21"}, "Kv-Deleted": {"0"}}}
		},
		"kv.range": func(*nats.Msg) *nats.Msg {
			return answer(&kvpb.RangeResponse{Revision: 20, Count: 2, Kvs: []*kvpb.KeyValue{odd, primary}})
		},
		"kv.txn": func(m *nats.Msg) *nats.Msg {
			var req kvpb.TxnRequest
			if err := proto.Unmarshal(m.Data, &req); err != nil || len(req.GetSuccess()) != 1 {
				return refuse(api.Errorf(api.KindBadRequest, "%v %v", &req, err))
			}
			return answer(&kvpb.TxnResponse{Revision: 21, Succeeded: len(req.GetCompare()) == 0, Responses: []*kvpb.ResponseOp{
				{Response: &kvpb.ResponseOp_Put{Put: &kvpb.PutResponse{PrevKv: primary}}}}})
		},
		"kv.sync": func(*nats.Msg) *nats.Msg { return answer(&kvpb.SyncResponse{Compacted: 5}) },
		"kv.history": func(m *nats.Msg) *nats.Msg {
			var req kvpb.HistoryRequest
			if err := proto.Unmarshal(m.Data, &req); err != nil || req.GetSince().GetRevision() != 4 {
				return refuse(api.Errorf(api.KindBadRequest, "%v %v", &req, err))
			}
			return answer(&kvpb.HistoryResponse{Events: []*kvpb.Event{{Kv: primary},
				{Type: kvpb.Event_DELETE, Kv: &kvpb.KeyValue{Key: []byte("/db/a b"), ModRevision: 13}},
				{Type: kvpb.Event_DELETE, Expired: true, Kv: &kvpb.KeyValue{Key: []byte("/beat"), ModRevision: 14}}}, Through: &kvpb.Position{Revision: 14}})
		},
		"kv.compact":             func(*nats.Msg) *nats.Msg { return answer(&kvpb.CompactResponse{Compacted: 5}) },
		"kv.admin.status":        func(*nats.Msg) *nats.Msg { return answer(status("node-1", true)) },
		"kv.admin.status.node-1": func(*nats.Msg) *nats.Msg { return answer(status("node-1", true)) },
		"kv.admin.status.node-2": func(*nats.Msg) *nats.Msg { return answer(status("node-2", false)) },
	})
}

func status(node string, ready bool) *kvpb.StatusResponse {
	s := &kvpb.StatusResponse{Node: node, Leader: "node-1", Ready: ready, StateBytes: 3 << 20, Digest: "5f1c", State: api.StateWhole,
		Members: []*kvpb.Member{{Name: "node-1"}, {Name: "node-2"}}}
	if !ready {
		s.State, s.StateReason = api.StateDamaged, "a checksum"
	}
	return s
}

func TestCommands(t *testing.T) {
	url := fake(t)
	table := "KEY          VALUE         MOD  CREATE  VERSION\n"
	for _, c := range []struct {
		line, stdin string
		code        int
		stdout      string
	}{
		{"get /db/primary", "", 0, "10.0.0.6\n"},
		{"get -o json /db/primary", "", 0, `{"key":"/db/primary","value":"10.0.0.6","create_revision":"2","mod_revision":"12","version":"3"}` + "\n"},
		{"get -o table /db/primary", "", 0, "KEY          VALUE     MOD  CREATE  VERSION\n/db/primary  10.0.0.6  12   2       3\n"},
		{"get /none", "", 3, ""},
		{"get --prefix /db/", "", 0, table + "\"/db/a b\"    \"\\x00\\xff\\t\"  4    4       1\n/db/primary  10.0.0.6      12   2       3\n"},
		{"list --limit 1 --keys", "", 0, "\"/db/a b\"\n"},
		{"list --count /db/", "", 0, "2\n"},
		{"put /a -", "from stdin", 0, "21\n"},
		{"put /a -", "else", 1, ""},
		{"put --if-revision 7 /a -", "from stdin", 3, ""},
		{"put --prev /a x", "", 0, "10.0.0.6\n"},
		{"put --ttl 1500ms --lease 00000000000f7f3a /a x", "", 0, "22\n"},
		{"del /a", "", 0, "0\n"},
		{`txn {"then":[{"put":{"key":"/a","value":"x"}}]}`, "", 0, ""},
		{"txn", `{"if":[{"key":"/a","version":0}],"then":[{"put":{"key":"/a","value":"x"}}]}`, 3, ""},
		{"history", "", 0, "12 put /db/primary 10.0.0.6\n13 delete \"/db/a b\"\n14 expire /beat\n"},
		{"history --from 5 --limit 1", "", 0, "12 put /db/primary 10.0.0.6\n"},
		{"watch --from 5 --limit 2", "", 0, "12 put /db/primary 10.0.0.6\n13 delete \"/db/a b\"\n"},
		{"compact 5", "", 0, "5\n"},
		{"status --check", "", 0, ""},
		{"status --check --node node-2", "", 1, ""},
		{"status --check --node node-3 --timeout 100ms", "", 1, ""},
	} {
		code, stdout, stderr := run(t, c.stdin, append([]string{"--server", url}, strings.Fields(c.line)...)...)
		if code != c.code || stdout != c.stdout && c.stdout != "" || code == 0 && stderr != "" || strings.Count(stderr, "\n") > 1 {
			t.Errorf("kvorum %s: exit code %d\nstdout %q\nstderr %q", c.line, code, stdout, stderr)
		}
	}
	_, stdout, _ := run(t, "", "status", "--server", url)
	if lines := strings.Split(stdout, "\n"); len(lines) != 5 || !strings.Contains(lines[1], "leader") ||
		!strings.Contains(lines[2], "damaged") || !strings.Contains(lines[2], "3.0 MiB") || lines[3] != "node-2 is damaged: a checksum" {
		t.Errorf("status:\n%s", stdout)
	}
}
