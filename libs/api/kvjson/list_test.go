package kvjson_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvjson"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

var dbStart, dbEnd = []byte("/db/"), []byte("/db0")

func TestListRequest(t *testing.T) {
	for body, want := range map[string]*kvpb.RangeRequest{
		``:            {Key: dbStart, RangeEnd: dbEnd},
		`{}`:          {Key: dbStart, RangeEnd: dbEnd},
		`{"limit":5}`: {Key: dbStart, RangeEnd: dbEnd, Limit: 5},
		`{"revision":"7","keys_only":true,"count_only":true,"serializable":true,"min_revision":3,"max_bytes":4,` +
			`"min_mod_revision":1,"max_mod_revision":2,"min_create_revision":3,"max_create_revision":4}`: {
			Key: dbStart, RangeEnd: dbEnd, Revision: 7, KeysOnly: true, CountOnly: true, Serializable: true, MinRevision: 3, MaxBytes: 4,
			MinModRevision: 1, MaxModRevision: 2, MinCreateRevision: 3, MaxCreateRevision: 4,
		},
	} {
		if got, err := kvjson.ParseList([]byte(body), dbStart, dbEnd); err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: %v, %v", body, got, err)
		}
	}
}

func token(b string) string {
	return fmt.Sprintf(`{"continue":%q}`, base64.RawURLEncoding.EncodeToString([]byte(b)))
}

func TestListPages(t *testing.T) {
	req := &kvpb.RangeRequest{Key: dbStart, RangeEnd: dbEnd, Limit: 1}
	resp := &kvpb.RangeResponse{Revision: 12, Kvs: []*kvpb.KeyValue{primary}, More: true, Count: 2}
	first, err := kvjson.ListAnswer(req, resp)
	const want = `{"kvs":[{"key":"/db/primary","value":"10.0.0.6","create_revision":"2","mod_revision":"12","version":"3"}],"count":"2","revision":"12","more":true,"continue":"AQAAAAAAAAAML2RiL3ByaW1hcnk"}`
	if err != nil || string(first) != want {
		t.Fatalf("%v\n%s\nwant\n%s", err, first, want)
	}
	var page struct{ Continue string }
	if err := json.Unmarshal(first, &page); err != nil {
		t.Fatal(err)
	}
	next, err := kvjson.ParseList(fmt.Appendf(nil, `{"continue":%q,"limit":3,"revision":12}`, page.Continue), dbStart, dbEnd)
	if want := (&kvpb.RangeRequest{Key: []byte("/db/primary\x00"), RangeEnd: dbEnd, Revision: 12, Limit: 3}); err != nil || !proto.Equal(next, want) {
		t.Fatalf("%v, %v, want %v", next, err, want)
	}
	// The store has moved on; the list has not.
	last, err := kvjson.ListAnswer(next, &kvpb.RangeResponse{Revision: 99, Count: 1})
	if want := `{"kvs":[],"count":"1","revision":"12"}`; err != nil || string(last) != want {
		t.Fatalf("%v\n%s\nwant\n%s", err, last, want)
	}
}

func TestListAfterTheLongestKey(t *testing.T) {
	longest := strings.Repeat("a", api.MaxKeyBytes)
	m, err := kvjson.ParseList([]byte(token("\x01\x00\x00\x00\x00\x00\x00\x00\x0c"+longest)), []byte{0}, []byte{0})
	if want := strings.Repeat("a", api.MaxKeyBytes-1) + "b"; err != nil || string(m.Key) != want {
		t.Errorf("%v, %v: want a start that is a key again", m, err)
	}
	ff := strings.Repeat("\xff", api.MaxKeyBytes)
	if m, err := kvjson.ParseList([]byte(token("\x01\x00\x00\x00\x00\x00\x00\x00\x0c"+ff)), []byte{0}, []byte{0}); err != nil || string(m.Key) != ff+"\x00" {
		t.Errorf("%v, %v: nothing follows the last key of all", m, err)
	}
}

func TestListRefused(t *testing.T) {
	const rev = "\x00\x00\x00\x00\x00\x00\x00\x0c"
	for body, says := range map[string]string{
		` `:                               `$: want '{'`,
		`[]`:                              `$: want '{'`,
		`{"key":"/k"}`:                    `$.key: unknown field`,
		`{"order":"desc"}`:                `$.order: unknown field`,
		`{"limit":1,"limit":1}`:           `$.limit: given twice`,
		`{"continue":1}`:                  `$.continue: want a string`,
		`{"continue":""}`:                 `token of the page before`,
		`{"continue":"!"}`:                `token of the page before`,
		`{"continue":"AQ=="}`:             `token of the page before`,
		token("\x01" + rev):               `token of the page before`,
		token("\x02" + rev + "/db/a"):     `token of the page before`,
		token("\x01" + rev[1:] + "/db/a"): `token of the page before`,
		token("\x01" + rev + "/da"):       `token of the page before`,
		token("\x01" + rev + "/db0"):      `token of the page before`,
		token("\x01\x00\x00\x00\x00\x00\x00\x00\x00/db/a"):                         `token of the page before`,
		token("\x01\xff\xff\xff\xff\xff\xff\xff\xff/db/a"):                         `token of the page before`,
		token("\x01" + rev + "/db/" + strings.Repeat("a", api.MaxKeyBytes)):        `token of the page before`,
		strings.TrimSuffix(token("\x01"+rev+"/db/a"), `"}`) + `\n"}`:               `token of the page before`,
		strings.TrimSuffix(token("\x01"+rev+"/db/a"), `}`) + `,"revision":"11"}`:   `the list is at revision 12, not 11`,
		strings.TrimSuffix(token("\x01"+rev+"/db/a"), `}`) + `,"revision":"12"} 1`: `after the end`,
	} {
		m, err := kvjson.ParseList([]byte(body), dbStart, dbEnd)
		if api.KindOf(err) != api.KindBadRequest || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, %v, want bad_request saying %s", body, m, err, says)
		}
	}
}
