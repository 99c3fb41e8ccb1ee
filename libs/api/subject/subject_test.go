package subject_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/subject"
)

var forms = []struct{ key, form string }{
	{"/", "%"},
	{"//", "%.%"},
	{"///", "%.%.%"},
	{"/db", "db"},
	{"/db/", "db.%"},
	{"/db/primary", "db.primary"},
	{"/db//x", "db.%.x"},
	{"//db", "%.db"},
	{"foo", "~.foo"},
	{"foo/", "~.foo.%"},
	{"foo/bar", "~.foo.bar"},
	{"foo//bar", "~.foo.%.bar"},
	{"~", "~.~"},
	{"~/x", "~.~.x"},
	{"/~", "%7E"},
	{"/~/", "%7E.%"},
	{"/~/x", "%7E.x"},
	{"/~x", "~x"},
	{"/~~", "~~"},
	{"/a/~", "a.~"},
	{"//~", "%.~"},
	{"~x/~", "~.~x.~"},
	{"%", "~.%25"},
	{"/%", "%25"},
	{"/%7E", "%257E"},
	{"/a b", "a%20b"},
	{"/a.b*c>d%e", "a%2Eb%2Ac%3Ed%25e"},
	{"/\x00\x7f\xff", "%00%7F%FF"},
	{"\x00", "~.%00"},
	{"/é", "%C3%A9"},
	{"/registry/pods/default/web-1.2", "registry.pods.default.web-1%2E2"},
	{"/$SYS/_INBOX", "$SYS._INBOX"},
	{"/" + strings.Repeat("a", 1024), strings.Repeat("a", 1024)},
	{strings.Repeat("/a", 16), strings.Repeat("a.", 15) + "a"},
	{strings.Repeat("a/", 14) + "a", "~." + strings.Repeat("a.", 14) + "a"},
}

func TestForms(t *testing.T) {
	for _, c := range forms {
		form, err := subject.Encode([]byte(c.key))
		if err != nil || form != c.form {
			t.Errorf("Encode(%q) = %q, %v, want %q", c.key, form, err, c.form)
		}
		key, err := subject.Decode(c.form)
		if err != nil || string(key) != c.key {
			t.Errorf("Decode(%q) = %q, %v, want %q", c.form, key, err, c.key)
		}
		if event, full := subject.Event([]byte(c.key)); event != c.form || !full {
			t.Errorf("Event(%q) = %q, %v", c.key, event, full)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, c := range map[string]struct{ key, says string }{
		"empty":          {"", "empty"},
		"long":           {"/" + strings.Repeat("a", api.MaxKeyBytes), "limit is 4096"},
		"subject bytes":  {"/" + strings.Repeat("a", 1025), "does not fit"},
		"escaped bytes":  {"/" + strings.Repeat(" ", 342), "does not fit"},
		"empty at limit": {"/" + strings.Repeat("a", 1023) + "/", "does not fit"},
		"17 tokens":      {strings.Repeat("/a", 17), "does not fit"},
		"17 with ~":      {strings.Repeat("a/", 15) + "a", "does not fit"},
	} {
		form, err := subject.Encode([]byte(c.key))
		wantBadKey(t, name+": "+form, err, c.says)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for tokens, says := range map[string]string{
		"":              "empty token",
		".":             "empty token",
		"db.":           "empty token",
		".db":           "empty token",
		"db..x":         "empty token",
		"~":             "~ is followed by",
		"~.":            "empty token",
		"~.%":           "is empty",
		"~.%.x":         `write "x"`,
		"~.%.%":         `write "%"`,
		"~.%7E":         `write "~.~"`,
		"a.%7E":         `write "a.~"`,
		"%7e":           `write "%7E"`,
		"%61":           `write "a"`,
		"a%2Fb":         `write "a.b"`,
		"%2F":           `write "%.%"`,
		"~.%2Fa":        `write "a"`,
		"a%c3":          `write "a%C3"`,
		"a b":           `write "a%20b"`,
		"é":             `write "%C3%A9"`,
		"a.*":           `write "a.%2A"`,
		">":             `write "%3E"`,
		"a.%~":          "two hex digits",
		"%~":            "two hex digits",
		"a%":            "two hex digits",
		"a%4":           "two hex digits",
		"%%":            "two hex digits",
		"a%+1":          "two hex digits",
		"%.%.a%2":       "two hex digits",
		"\x00":          `write "%00"`,
		"db.x%0":        "two hex digits",
		longTokens(17):  "does not fit",
		longBytes(1025): "limit is 1024",
		// The canonical form is too long to be one.
		strings.Repeat(" ", 400): "does not fit",
	} {
		key, err := subject.Decode(tokens)
		wantBadKey(t, fmt.Sprintf("Decode(%q) = %q", tokens, key), err, says)
	}
}

func longTokens(n int) string { return strings.Repeat("a.", n-1) + "a" }
func longBytes(n int) string  { return strings.Repeat("a", n) }

func wantBadKey(t *testing.T, what string, err error, says string) {
	t.Helper()
	if !errors.Is(err, &api.Error{Kind: api.KindBadKey}) || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: error %v, want bad_key saying %q", what, err, says)
	}
}

func TestPrefixes(t *testing.T) {
	for form, want := range map[string][2]string{
		"":       {"\x00", "\x00"},
		"db":     {"/db/", "/db0"},
		"db.%":   {"/db//", "/db/0"},
		"%":      {"//", "/0"},
		"~.foo":  {"foo/", "foo0"},
		"~.~":    {"~/", "~0"},
		"%7E":    {"/~/", "/~0"},
		"a.%FF":  {"/a/\xff/", "/a/\xff0"},
		"a.b.c ": {"", ""},
		"~":      {"", ""},
		"a.%~":   {"", ""},
	} {
		key, end, err := subject.DecodePrefix(form)
		if want[0] == "" {
			wantBadKey(t, form, err, "")
			continue
		}
		if err != nil || string(key) != want[0] || string(end) != want[1] {
			t.Errorf("DecodePrefix(%q) = %q, %q, %v, want %q", form, key, end, err, want)
		}
		prefix := key
		if form == "" {
			prefix = nil
		}
		if back, err := subject.EncodePrefix(prefix); err != nil || back != form {
			t.Errorf("EncodePrefix(%q) = %q, %v, want %q", prefix, back, err, form)
		}
	}
	for prefix, says := range map[string]string{
		"/db":                                 "does not end a segment",
		"/":                                   "whole store",
		"/" + strings.Repeat("a", 1025) + "/": "does not fit",
	} {
		_, err := subject.EncodePrefix([]byte(prefix))
		wantBadKey(t, prefix, err, says)
	}
}

// A prefix's range and its subscription select the same keys.
func TestPrefixRangeIsSubscription(t *testing.T) {
	keys := make([][]byte, 0, 4000)
	for i := range 4000 {
		keys = append(keys, randomKey(rand.New(rand.NewPCG(7, uint64(i)))))
	}
	events, ancestors := make([]string, len(keys)), make([][]string, len(keys))
	for i, key := range keys {
		events[i], _ = subject.Event(key)
		ancestors[i] = subject.Ancestors(key)
	}
	for _, of := range keys[:200] {
		for _, prefix := range subject.Ancestors(of) {
			if prefix == "~" {
				continue
			}
			start, end, err := subject.DecodePrefix(prefix)
			if err != nil {
				t.Fatalf("ancestor %q of %q: %v", prefix, of, err)
			}
			for i, key := range keys {
				in := bytes.Compare(key, start) >= 0 && (prefix == "" || bytes.Compare(key, end) < 0)
				heard := prefix == "" || strings.HasPrefix(events[i], prefix+".")
				if in != heard || in != slices.Contains(ancestors[i], prefix) {
					t.Fatalf("key %q, prefix %q: in range %v, heard %v, ancestors %q", key, prefix, in, heard, ancestors[i])
				}
			}
		}
	}
}

func TestEvent(t *testing.T) {
	a1024, a1025 := strings.Repeat("a", 1024), strings.Repeat("a", 1025)
	for name, c := range map[string]struct{ key, subject string }{
		"bytes at the root":  {"/" + a1025, "%~"},
		"bytes below ~":      {a1025, "~.%~"},
		"bytes below a":      {"/a/" + a1025, "a.%~"},
		"full ancestor":      {"/" + a1024 + "/b", a1024 + ".%~"},
		"overfull ancestor":  {"/a/" + a1024 + "/b", "a.%~"},
		"empty last segment": {"/a/" + a1024[:1022] + "/", "a." + a1024[:1022] + ".%~"},
		"17 tokens":          {strings.Repeat("/a", 17), longTokens(16) + ".%~"},
		"99 tokens":          {strings.Repeat("/a", 99), longTokens(16) + ".%~"},
		"empty segments":     {strings.Repeat("/", 40), strings.Repeat("%.", 16) + "%~"},
		"escapes":            {"/x/" + strings.Repeat("\x01", 342), "x.%~"},
	} {
		got, full := subject.Event([]byte(c.key))
		if got != c.subject || full {
			t.Errorf("%s: %.60q..., %v, want %.60q...", name, got, full, c.subject)
		}
		list := subject.Ancestors([]byte(c.key))
		if want := strings.TrimSuffix(strings.TrimSuffix(c.subject, "%~"), "."); list[len(list)-1] != want {
			t.Errorf("%s: deepest ancestor %.60q, want %.60q", name, list[len(list)-1], want)
		}
	}
}

func TestAncestors(t *testing.T) {
	for key, want := range map[string][]string{
		"/":              {""},
		"/db":            {""},
		"/db/":           {"", "db"},
		"/db/primary":    {"", "db"},
		"//x":            {"", "%"},
		"foo":            {"", "~"},
		"foo/bar/b z":    {"", "~", "~.foo", "~.foo.bar"},
		"/~/a/b":         {"", "%7E", "%7E.a"},
		"/a.b/c/d":       {"", "a%2Eb", "a%2Eb.c"},
		"/a/b/c/d/e/f/g": {"", "a", "a.b", "a.b.c", "a.b.c.d", "a.b.c.d.e", "a.b.c.d.e.f"},
	} {
		if got := subject.Ancestors([]byte(key)); !slices.Equal(got, want) {
			t.Errorf("Ancestors(%q) = %q, want %q", key, got, want)
		}
	}
	for i, form := range subject.Ancestors([]byte(strings.Repeat("/a", 30))) {
		if n := strings.Count(form+".", "."); i > 0 && n != i {
			t.Errorf("ancestor %d is %q", i, form)
		}
	}
}

func TestHeader(t *testing.T) {
	for key, want := range map[string]string{
		"/db/a.b":         "/db/a.b",
		"a b%c\r\n":       "a%20b%25c%0D%0A",
		"\x00\xff*>~":     "%00%FF*>~",
		"/é":              "/%C3%A9",
		" lead and trail": "%20lead%20and%20trail",
	} {
		if got := subject.EscapeHeader([]byte(key)); got != want {
			t.Errorf("EscapeHeader(%q) = %q, want %q", key, got, want)
		}
		if back, err := subject.UnescapeHeader(want); err != nil || string(back) != key {
			t.Errorf("UnescapeHeader(%q) = %q, %v", want, back, err)
		}
	}
	for _, s := range []string{"", "a b", "%61", "%c3", "%", "%4", "%zz", "é", "\n", strings.Repeat("a", api.MaxKeyBytes+1)} {
		_, err := subject.UnescapeHeader(s)
		wantBadKey(t, fmt.Sprintf("%.20q", s), err, "")
	}
}

func TestRoundTripOfRandomKeys(t *testing.T) {
	const keys = 300_000
	r := rand.New(rand.NewPCG(1, 2))
	seen := make(map[string]string, keys)
	unfit := 0
	for range keys {
		key := randomKey(r)
		form, err := subject.Encode(key)
		event, full := subject.Event(key)
		if full != (err == nil) {
			t.Fatalf("key %q: Encode says %v, Event %v", key, err, full)
		}
		if err != nil {
			unfit++
			continue
		}
		if event != form || len(form) > api.MaxSubjectKeyBytes || strings.ContainsAny(form, "*> \t\r\n") || strings.Contains("."+form+".", "..") {
			t.Fatalf("key %q: form %q, event %q", key, form, event)
		}
		back, err := subject.Decode(form)
		if err != nil || !bytes.Equal(back, key) {
			t.Fatalf("key %q: form %q decodes to %q, %v", key, form, back, err)
		}
		if other, ok := seen[form]; ok && other != string(key) {
			t.Fatalf("keys %q and %q share the form %q", key, other, form)
		}
		seen[form] = string(key)
		if header, err := subject.UnescapeHeader(subject.EscapeHeader(key)); err != nil || !bytes.Equal(header, key) {
			t.Fatalf("key %q: header gives %q, %v", key, header, err)
		}
	}
	if unfit < keys/100 || unfit > keys/3 {
		t.Errorf("%d of %d keys did not fit: the generator tests one side only", unfit, keys)
	}
}

// randomKey draws from alphabets in which collisions are likely.
func randomKey(r *rand.Rand) []byte {
	alphabets := []string{"/", "/a", "~/", "~%/.", "/%7E", "abcdef/", "./*> %~", "\x00\x01\xff/", "/.aA0-_é"}
	alphabet := alphabets[r.IntN(len(alphabets))]
	var n int
	switch r.IntN(20) {
	case 0:
		n = 1 + r.IntN(api.MaxKeyBytes)
	case 1, 2, 3:
		n = 1 + r.IntN(64)
	default:
		n = 1 + r.IntN(12)
	}
	key := make([]byte, n)
	binary := r.IntN(4) == 0
	for i := range key {
		if binary {
			key[i] = byte(r.Uint32())
		} else {
			key[i] = alphabet[r.IntN(len(alphabet))]
		}
	}
	return key
}

func TestAllocations(t *testing.T) {
	key := []byte("/registry/pods/default/web-1.2")
	form, _ := subject.Encode(key)
	for name, c := range map[string]struct {
		most float64
		run  func()
	}{
		"Encode":    {1, func() { _, _ = subject.Encode(key) }},
		"Decode":    {1, func() { _, _ = subject.Decode(form) }},
		"Event":     {1, func() { _, _ = subject.Event(key) }},
		"Ancestors": {2, func() { subject.Ancestors(key) }},
		"Prefix":    {2, func() { _, _, _ = subject.DecodePrefix(form) }},
	} {
		if n := testing.AllocsPerRun(100, c.run); n > c.most {
			t.Errorf("%s: %v allocations, want %v at most", name, n, c.most)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range forms {
		f.Add(c.form)
	}
	for _, s := range []string{"", ".", "~", "~.%", "~.%.x", "%2F", "%7e", "a..b", "%~", "a%", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, tokens string) {
		key, err := subject.Decode(tokens)
		if err != nil {
			if api.KindOf(err) != api.KindBadKey {
				t.Fatalf("error %v is no bad_key", err)
			}
			return
		}
		if form, err := subject.Encode(key); err != nil || form != tokens {
			t.Fatalf("%q decodes to %q, which encodes to %q, %v", tokens, key, form, err)
		}
		start, end, err := subject.DecodePrefix(tokens)
		if err != nil || !bytes.Equal(start, append(key, '/')) || bytes.Compare(start, end) >= 0 {
			t.Fatalf("prefix %q is [%q, %q), %v", tokens, start, end, err)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	for _, c := range forms {
		f.Add([]byte(c.key))
	}
	f.Add([]byte(strings.Repeat("/a", 17)))
	f.Fuzz(func(t *testing.T, key []byte) {
		event, full := subject.Event(key)
		ancestors := subject.Ancestors(key)
		form, err := subject.Encode(key)
		if err == nil {
			if back, err := subject.Decode(form); err != nil || !bytes.Equal(back, key) || !full || event != form {
				t.Fatalf("%q: form %q, back %q, %v, event %q, %v", key, form, back, err, event, full)
			}
		}
		if last := ancestors[len(ancestors)-1]; last != "" && !strings.HasPrefix(event, last+".") {
			t.Fatalf("%q: event %q is not below %q", key, event, last)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	key := []byte("/registry/pods/default/web-1.2")
	for b.Loop() {
		_, _ = subject.Encode(key)
	}
}

func BenchmarkDecode(b *testing.B) {
	for b.Loop() {
		_, _ = subject.Decode("registry.pods.default.web-1%2E2")
	}
}

// The protocol document's table of keys is right.
func TestProtocolKeys(t *testing.T) {
	document, err := os.ReadFile("../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(document), "| key | tokens |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := regexp.MustCompile("(?m)^\\| `(.+)` \\| `(.+)` \\|$").FindAllStringSubmatch(table, -1)
	if len(rows) < 10 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		if form, err := subject.Encode([]byte(row[1])); err != nil || form != row[2] {
			t.Errorf("%q is written %q, %v, not %q", row[1], form, err, row[2])
		}
	}
}
