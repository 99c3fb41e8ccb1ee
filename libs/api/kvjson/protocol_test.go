package kvjson_test

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api/kvjson"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// protocol is the protocol document, all of it.
func protocol(t *testing.T) (text []byte) {
	t.Helper()
	for _, name := range []string{"../PROTOCOL.md", "../LEASES.md"} {
		part, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, part...)
	}
	return text
}

// The examples of the protocol document are what the codec reads and writes.
func TestProtocolExamples(t *testing.T) {
	document := protocol(t)
	shown := map[string]bool{}
	for _, block := range regexp.MustCompile("(?s)```json ([A-Za-z]+)\n(.*?)```").FindAllSubmatch(document, -1) {
		name, text := string(block[1]), block[2]
		shown[name] = true
		switch name {
		case "List":
			if _, err := kvjson.ParseList(text, dbStart, dbEnd); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case "ListAnswer":
			page := &kvpb.RangeResponse{}
			if err := kvjson.Unmarshal(text, page); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			got, err := kvjson.ListAnswer(&kvpb.RangeRequest{}, page)
			wantExample(t, name, got, err, text)
		default:
			m := messageNamed(name)
			if m == nil {
				t.Errorf("there is no message %s", name)
				continue
			}
			if err := kvjson.Unmarshal(text, m); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			// People write requests in their own way; answers are written in ours.
			if !strings.HasSuffix(name, "Request") {
				got, err := kvjson.Marshal(m)
				wantExample(t, name, got, err, text)
			}
		}
	}
	for _, m := range messages {
		name := string(m.ProtoReflect().Descriptor().Name())
		if !shown[name] && !strings.HasPrefix(name, "Put") && name != "StatusRequest" && name != "KeyValue" && name != "LeaseState" && name != "Event" {
			t.Errorf("the document has no example of %s", name)
		}
	}
}

func wantExample(t *testing.T, name string, got []byte, err error, text []byte) {
	t.Helper()
	var want bytes.Buffer
	if e := json.Compact(&want, text); e != nil || err != nil || want.String() != string(got) {
		t.Errorf("%s: %v, %v\n%s\nis written\n%s", name, e, err, want.String(), got)
	}
}

func messageNamed(name string) proto.Message {
	for _, m := range messages {
		if string(m.ProtoReflect().Descriptor().Name()) == name {
			return m.ProtoReflect().New().Interface()
		}
	}
	return nil
}

// The commands of the document, as they are typed.
func TestProtocolCommands(t *testing.T) {
	document := protocol(t)
	bodies := map[string]proto.Message{
		"kv.txn": &kvpb.TxnRequest{}, "kv.admin.status": &kvpb.StatusRequest{}, "kv.history.": &kvpb.HistoryRequest{},
		"kv.lease.grant": &kvpb.LeaseGrantRequest{}, "kv.lease.revoke": &kvpb.LeaseRevokeRequest{}, "kv.lease.keepalive": &kvpb.LeaseKeepAliveRequest{},
		"kv.lease.info": &kvpb.LeaseInfoRequest{}, "kv.lease.list": &kvpb.LeaseListRequest{},
		"kv.lock.": &kvpb.LockRequest{}, "kv.unlock.": &kvpb.UnlockRequest{},
		"kv.elect.campaign": &kvpb.LockRequest{}, "kv.elect.resign": &kvpb.UnlockRequest{}, "kv.elect.proclaim": &kvpb.ProclaimRequest{},
		"kv.elect.leader": &kvpb.LeaderRequest{}, "kv.elect.observe": &kvpb.LeaderRequest{},
	}
	// A body is in single quotes, with shell variables between two of them.
	commands := regexp.MustCompile(`nats req [^\n]*?(kv\.[a-z.-]+)[^ ]* '((?:[^']|'\$\w+')*)'`).FindAllSubmatch(document, -1)
	seen := map[string]bool{}
	for _, c := range commands {
		subject, body := string(c[1]), regexp.MustCompile(`'\$\w+'`).ReplaceAll(c[2], []byte("0000000000000012"))
		for prefix, m := range bodies {
			if !strings.HasPrefix(subject, prefix) {
				continue
			}
			seen[prefix] = true
			if err := kvjson.Unmarshal(fenceOf(body), m); err != nil {
				t.Errorf("%s: %v", c[0], err)
			}
		}
	}
	for prefix := range bodies {
		if !seen[prefix] {
			t.Errorf("no command for %s", prefix)
		}
	}
}

// fenceOf makes a fence of what stands for a shell variable.
func fenceOf(body []byte) []byte {
	return bytes.ReplaceAll(body, []byte(`"fence":"0000000000000012"`), []byte(`"fence":"12"`))
}
