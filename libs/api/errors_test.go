package api_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
)

// every is the wire's table of errors. Kinds are appended; what is here stays.
var every = []struct {
	kind      api.Kind
	word      string
	code      int
	unknown   bool
	retryable bool
}{
	{api.KindNotFound, "not_found", 404, false, false},
	{api.KindCompareFailed, "compare_failed", 412, false, false},
	{api.KindCompacted, "compacted", 410, false, false},
	{api.KindFutureRevision, "future_revision", 416, false, false},
	{api.KindLeaseNotFound, "lease_not_found", 404, false, false},
	{api.KindLeaseExists, "lease_exists", 409, false, false},
	{api.KindNotHeld, "not_held", 409, false, false},
	{api.KindAlreadyHeld, "already_held", 409, false, false},
	{api.KindTooLarge, "too_large", 413, false, false},
	{api.KindTooManyOps, "too_many_ops", 413, false, false},
	{api.KindDuplicateKey, "duplicate_key", 400, false, false},
	{api.KindBadRequest, "bad_request", 400, false, false},
	{api.KindBadKey, "bad_key", 400, false, false},
	{api.KindUnknownOperation, "unknown_operation", 404, false, false},
	{api.KindNoSpace, "no_space", 507, false, false},
	{api.KindOverloaded, "overloaded", 429, false, true},
	{api.KindNoLeader, "no_leader", 503, false, true},
	{api.KindTimeout, "timeout", 504, true, true},
	{api.KindCorrupt, "corrupt", 500, false, true},
	{api.KindUnavailable, "unavailable", 503, false, true},
	{api.KindInternal, "internal", 500, true, false},
	{"of_tomorrow", "of_tomorrow", 500, true, false},
}

func TestKinds(t *testing.T) {
	for _, c := range every {
		if string(c.kind) != c.word || c.kind.Code() != c.code || c.kind.Unknown() != c.unknown || c.kind.Retryable() != c.retryable {
			t.Errorf("%s: code %d, unknown %v, retryable %v, want %+v", c.kind, c.kind.Code(), c.kind.Unknown(), c.kind.Retryable(), c)
		}
		e := api.Errorf(c.kind, "it %s", "failed")
		wantMod, wantBody := "", fmt.Sprintf(`{"kind":%q,"message":"it failed"}`, c.word)
		if c.kind == api.KindCompareFailed {
			wantMod, wantBody = "0", `{"kind":"compare_failed","message":"it failed","mod_revision":"0"}`
		}
		h := e.Header()
		if mod := strings.Join(h["Kv-Mod-Revision"], " "); mod != wantMod {
			t.Errorf("%s: Kv-Mod-Revision %q, want %q", c.kind, mod, wantMod)
		}
		delete(h, "Kv-Mod-Revision")
		want := map[string][]string{"Kv-Error": {c.word}, "Nats-Service-Error": {"it failed"}, "Nats-Service-Error-Code": {fmt.Sprint(c.code)}}
		if !maps.EqualFunc(h, want, slices.Equal) {
			t.Errorf("%s: header %v, want %v", c.kind, h, want)
		}
		if string(e.Body()) != wantBody {
			t.Errorf("%s: body %s, want %s", c.kind, e.Body(), wantBody)
		}
		roundTrip(t, e)
	}
}

func roundTrip(t *testing.T, e *api.Error) {
	t.Helper()
	if got := api.ParseError(e.Header(), e.Body()); got == nil || *got != *e {
		t.Errorf("%+v comes back as %+v", e, got)
	}
}

func TestErrorFields(t *testing.T) {
	e := &api.Error{Kind: api.KindCompareFailed, Message: "a <b> & \"c\"\nd", Revision: 12, ModRevision: 7, Compacted: 3}
	want := map[string][]string{
		"Kv-Error": {"compare_failed"}, "Nats-Service-Error": {`a <b> & "c" d`}, "Nats-Service-Error-Code": {"412"},
		"Kv-Revision": {"12"}, "Kv-Mod-Revision": {"7"}, "Kv-Compacted": {"3"},
	}
	if got := e.Header(); !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("header %v, want %v", got, want)
	}
	const body = `{"kind":"compare_failed","message":"a <b> & \"c\"\nd","revision":"12","mod_revision":"7","compacted":"3"}`
	if got := string(e.Body()); got != body {
		t.Errorf("body %s, want %s", got, body)
	}
	roundTrip(t, e)
}

func TestHeaderMessages(t *testing.T) {
	for message, want := range map[string]string{
		"":                               "failed",
		"\r\n":                           "failed",
		"a\r\nKv-Error: no_space":        "a  Kv-Error: no_space",
		"bad \xff byte":                  "bad  byte",
		strings.Repeat("é", 300):         strings.Repeat("é", 256) + "...",
		"x" + strings.Repeat("é", 300):   "x" + strings.Repeat("é", 255) + "...",
		"\x00 nothing but text \x7f\x1b": "nothing but text",
	} {
		if got := api.Errorf(api.KindInternal, "%s", message).Header()["Nats-Service-Error"][0]; got != want {
			t.Errorf("message %q is %q in the header, want %q", message, got, want)
		}
	}
}

func TestParseError(t *testing.T) {
	type header = map[string][]string
	for name, c := range map[string]struct {
		header header
		body   string
		want   *api.Error
	}{
		"no headers":        {nil, `{"kind":"timeout","message":"a value that looks like one"}`, nil},
		"a get's reply":     {header{"Kv-Revision": {"12"}}, ``, nil},
		"empty":             {header{"Kv-Error": {}}, ``, nil},
		"no body":           {header{"Kv-Error": {"timeout"}, "Nats-Service-Error": {"no answer"}}, ``, &api.Error{Kind: api.KindTimeout, Message: "no answer"}},
		"body of another":   {header{"Kv-Error": {"timeout"}, "Nats-Service-Error": {"no answer"}}, `{"kind":"corrupt","message":"x"}`, &api.Error{Kind: api.KindTimeout, Message: "no answer"}},
		"body no JSON":      {header{"Kv-Error": {"timeout"}, "Nats-Service-Error": {"no answer"}}, `{`, &api.Error{Kind: api.KindTimeout, Message: "no answer"}},
		"bad numbers":       {header{"Kv-Error": {"compacted"}, "Kv-Revision": {"x"}, "Kv-Compacted": {"-"}}, ``, &api.Error{Kind: api.KindCompacted}},
		"numbers":           {header{"Kv-Error": {"compacted"}, "Kv-Revision": {"9"}, "Kv-Compacted": {"7"}}, ``, &api.Error{Kind: api.KindCompacted, Revision: 9, Compacted: 7}},
		"of another server": {header{"Nats-Service-Error": {"boom"}, "Nats-Service-Error-Code": {"500"}}, ``, &api.Error{Kind: api.KindInternal, Message: "boom 500"}},
	} {
		got := api.ParseError(c.header, []byte(c.body))
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestErrorIs(t *testing.T) {
	err := fmt.Errorf("put: %w", api.Errorf(api.KindNoSpace, "9 MiB left"))
	if !errors.Is(err, &api.Error{Kind: api.KindNoSpace}) || errors.Is(err, &api.Error{Kind: api.KindTimeout}) {
		t.Error("errors.Is does not go by the kind")
	}
	if api.KindOf(err) != api.KindNoSpace || api.KindOf(errors.New("x")) != "" || api.KindOf(nil) != "" {
		t.Error("KindOf does not find the kind")
	}
}

func FuzzParseError(f *testing.F) {
	f.Add("timeout", "no answer", "12", `{"kind":"timeout","message":"no answer"}`)
	f.Add("", "", "", "")
	f.Fuzz(func(t *testing.T, kind, message, number, body string) {
		e := api.ParseError(map[string][]string{
			api.HeaderError: {kind}, api.HeaderServiceError: {message}, api.HeaderRevision: {number}, api.HeaderModRevision: {number},
		}, []byte(body))
		if (e == nil) != (kind == "" && message == "") {
			t.Fatalf("kind %q, message %q give %+v", kind, message, e)
		}
	})
}

// The protocol document has one row for each kind, in this order.
func TestProtocolErrors(t *testing.T) {
	document, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([0-9]{3}) \\| (not applied|unknown) \\|").FindAllStringSubmatch(string(document), -1)
	if len(rows) != len(every)-1 {
		t.Errorf("%d rows, want %d", len(rows), len(every)-1)
	}
	for i, row := range rows {
		outcome := map[bool]string{false: "not applied", true: "unknown"}[every[i].unknown]
		if row[1] != every[i].word || row[2] != fmt.Sprint(every[i].code) || row[3] != outcome {
			t.Errorf("row %v, want %+v", row[1:], every[i])
		}
	}
}
