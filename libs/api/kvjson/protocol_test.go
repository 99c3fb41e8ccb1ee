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

// The examples of the protocol document are what the codec reads and writes.
func TestProtocolExamples(t *testing.T) {
	document, err := os.ReadFile("../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
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
		if !shown[name] && !strings.HasPrefix(name, "Put") && name != "StatusRequest" && name != "KeyValue" && name != "Event" {
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

// The transaction of the quick start, as it is typed.
func TestProtocolQuickStart(t *testing.T) {
	document, err := os.ReadFile("../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	typed := regexp.MustCompile(`(?s)nats req kv\.txn '(.*?)'`).FindSubmatch(document)
	if typed == nil {
		t.Fatal("the quick start has no transaction")
	}
	m := &kvpb.TxnRequest{}
	if err := kvjson.Unmarshal(typed[1], m); err != nil || len(m.Compare) != 1 || len(m.Success) != 1 || len(m.Failure) != 1 {
		t.Errorf("%v, %v", m, err)
	}
}
