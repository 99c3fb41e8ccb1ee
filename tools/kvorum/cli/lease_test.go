package cli_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// request reads a request of a fake cluster.
func request[M proto.Message](m *nats.Msg, into M) M {
	if err := proto.Unmarshal(m.Data, into); err != nil {
		panic(err)
	}
	return into
}

func TestLeaseCommands(t *testing.T) {
	url := cluster(t, map[string]func(*nats.Msg) *nats.Msg{
		"kv.lease.grant": func(m *nats.Msg) *nats.Msg {
			req := request(m, &kvpb.LeaseGrantRequest{})
			return answer(&kvpb.LeaseGrantResponse{Revision: 3, Id: max(req.GetId(), 1), TtlMillis: req.GetTtlMillis()})
		},
		"kv.lease.revoke": func(m *nats.Msg) *nats.Msg {
			if request(m, &kvpb.LeaseRevokeRequest{}).GetId() != 1 {
				return refuse(api.Errorf(api.KindLeaseNotFound, "it does not exist"))
			}
			return answer(&kvpb.LeaseRevokeResponse{Revision: 4, Deleted: 2})
		},
		"kv.lease.keepalive": func(m *nats.Msg) *nats.Msg {
			resp := &kvpb.LeaseKeepAliveResponse{}
			for _, id := range request(m, &kvpb.LeaseKeepAliveRequest{}).GetIds() {
				state := &kvpb.LeaseState{Id: id, TtlMillis: 5000, LeftMillis: 4200}
				if id != 1 {
					state = &kvpb.LeaseState{Id: id, Error: "lease_not_found"}
				}
				resp.Leases = append(resp.Leases, state)
			}
			return answer(resp)
		},
		"kv.lease.info": func(m *nats.Msg) *nats.Msg {
			resp := &kvpb.LeaseInfoResponse{Revision: 3, Id: 1, TtlMillis: 5000, LeftMillis: 4200}
			if request(m, &kvpb.LeaseInfoRequest{}).GetKeys() {
				resp.Keys = [][]byte{[]byte("/a b")}
			}
			return answer(resp)
		},
		"kv.lease.list": func(*nats.Msg) *nats.Msg { return answer(&kvpb.LeaseListResponse{Ids: []int64{1, -1}}) },
	})
	for _, c := range []struct {
		line   string
		code   int
		stdout string
	}{
		{"lease grant 5s", 0, "0000000000000001\n"},
		{"lease grant --id 00000000000f7f3a 2m", 0, "00000000000f7f3a\n"},
		{"lease grant 1500ms -o json", 0, `{"id":"0000000000000001","ttl":"1.5s","revision":"3"}` + "\n"},
		{"lease revoke 0000000000000001", 0, "2\n"},
		{"lease revoke ffffffffffffffff", 3, ""},
		{"lease keepalive 0000000000000001", 0, "0000000000000001 4.2s\n"},
		{"lease keepalive ffffffffffffffff 0000000000000001", 3, "ffffffffffffffff lease_not_found\n0000000000000001 4.2s\n"},
		{"lease info 0000000000000001", 0, "0000000000000001 ttl 5s left 4.2s\n"},
		{"lease info 0000000000000001 --keys", 0, "0000000000000001 ttl 5s left 4.2s\n\"/a b\"\n"},
		{"lease info 0000000000000001 --keys -o json", 0, `{"id":"0000000000000001","ttl":"5s","left":"4.2s","keys":[{"key":"/a b"}],"revision":"3"}` + "\n"},
		{"lease list", 0, "0000000000000001\nffffffffffffffff\n"},
		{"lease list -o json", 0, `{"id":"0000000000000001"}` + "\n" + `{"id":"ffffffffffffffff"}` + "\n"},
	} {
		code, stdout, stderr := run(t, "", append([]string{"--server", url}, strings.Fields(c.line)...)...)
		if code != c.code || stdout != c.stdout || code == 0 && stderr != "" {
			t.Errorf("kvorum %s: exit code %d\nstdout %q\nstderr %q", c.line, code, stdout, stderr)
		}
	}
}
