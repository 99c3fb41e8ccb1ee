// Package subject maps keys to NATS subject tokens and back, one to one.
//
// A key is arbitrary bytes; on a subject it is its '/'-separated segments as
// tokens:
//
//	/db/primary   db.primary       the leading '/' is dropped
//	foo/bar       ~.foo.bar        no leading '/': a token '~' first
//	/db//x        db.%.x           an empty segment is a lone '%'
//	/db/          db.%
//	/             %
//	/~            %7E              a first segment that is exactly "~"
//	/web-1.2      web-1%2E2        '.', '*', '>', '%' and every byte that is
//	                               not printable ASCII or is a space: %XX
//
// Every key has exactly one form and every other form is refused, so that a
// subject permission or a subscription on a form sees all there is. The mapping
// says nothing about order: tokens do not sort as keys do.
//
// A subject carries at most api.MaxSubjectKeyBytes of tokens and
// api.MaxSubjectTokens tokens. Keys beyond that travel in payloads, and their
// events as Event tells.
package subject

import (
	"strings"

	"github.com/kvorum/kvorum/libs/api"
)

// none is the first token of a key without a leading '/'.
const none = "~"

// Below is the last token of an event whose key does not fit on a subject. No
// key has it in its form.
const Below = "%~"

// longestEscape is how far appendTokens can run past the limit before it looks.
const longestEscape = 3

type buffer = [api.MaxSubjectKeyBytes + longestEscape + 1]byte

// Encode is the form of a key, without a request's "kv.get." in front. The
// error is an *api.Error of KindBadKey: the key is empty, longer than
// api.MaxKeyBytes, or does not fit on a subject.
func Encode(key []byte) (string, error) {
	if err := check(key); err != nil {
		return "", err
	}
	var buf buffer
	form, _, fits := appendTokens(buf[:0], key)
	if !fits {
		return "", api.Errorf(api.KindBadKey,
			"the key does not fit on a subject (%d bytes escaped, %d segments): send it in the body (kv.range, kv.txn)",
			api.MaxSubjectKeyBytes, api.MaxSubjectTokens)
	}
	return string(form), nil
}

// Decode is the inverse of Encode. It refuses, as an *api.Error of KindBadKey,
// everything that Encode does not give.
func Decode(tokens string) ([]byte, error) {
	if len(tokens) > api.MaxSubjectKeyBytes {
		return nil, api.Errorf(api.KindBadKey, "the key on the subject has %d bytes, the limit is %d: send it in the body (kv.range, kv.txn)",
			len(tokens), api.MaxSubjectKeyBytes)
	}
	key, err := read(tokens)
	if err != nil {
		return nil, err
	}
	if err := check(key); err != nil {
		return nil, err
	}
	// Writing the key again settles every question of form at once.
	var buf buffer
	form, _, fits := appendTokens(buf[:0], key)
	switch {
	case !fits:
		return nil, api.Errorf(api.KindBadKey, "the key on the subject does not fit (%d bytes escaped, %d segments): send it in the body (kv.range, kv.txn)",
			api.MaxSubjectKeyBytes, api.MaxSubjectTokens)
	case string(form) != tokens:
		return nil, api.Errorf(api.KindBadKey, "key %q is not in canonical form: write %q", tokens, string(form))
	}
	return key, nil
}

// EncodePrefix is the form of a byte prefix that ends a segment, such as
// "/db/": `db`. The empty prefix, everything, is "". Other prefixes have no
// form: watch or list the enclosing one and filter. The error is an *api.Error
// of KindBadKey.
func EncodePrefix(prefix []byte) (string, error) {
	n := len(prefix) - 1
	switch {
	case n < 0:
		return "", nil
	case prefix[n] != '/':
		return "", api.Errorf(api.KindBadKey, "prefix %q does not end a segment: use %q, or the one that encloses both, and filter", prefix, string(prefix)+"/")
	case n == 0:
		return "", api.Errorf(api.KindBadKey, "the prefix \"/\" has no form on a subject: use the whole store and filter")
	}
	return Encode(prefix[:n])
}

// DecodePrefix is the range [key, rangeEnd) that a prefix form means: the keys
// strictly below it, so `db` is ["/db/", "/db0"), without "/db" itself. The
// empty form is everything: key and rangeEnd are one zero byte each. A lone `~`
// is refused, the keys without a leading '/' being no single range.
func DecodePrefix(tokens string) (key, rangeEnd []byte, err error) {
	switch tokens {
	case "":
		return []byte{0}, []byte{0}, nil
	case none:
		return nil, nil, api.Errorf(api.KindBadKey, "the prefix \"~\" is no contiguous range: use the whole store and filter")
	}
	key, err = Decode(tokens)
	if err != nil {
		return nil, nil, err
	}
	n := len(key)
	both := make([]byte, 0, 2*n+2)
	both = append(append(both, key...), '/')
	both = append(append(both, key...), '/'+1)
	return both[: n+1 : n+1], both[n+1:], nil
}

// Event is where an event of a key is published, below kvwatch: the key's form
// and true, or, where it does not fit, its deepest ancestor that fits followed
// by Below, and false. The key then travels in the header Kv-Key, see
// EscapeHeader. Every subscription on a prefix that fits sees both.
func Event(key []byte) (subject string, full bool) {
	var buf buffer
	form, ancestor, fits := appendTokens(buf[:0], key)
	if fits {
		return string(form), true
	}
	form = form[:ancestor]
	if ancestor > 0 {
		form = append(form, '.')
	}
	return string(append(form, Below...)), false
}

// Ancestors are the forms of the prefixes that a key is below, from the root,
// "", to the deepest that fits; the i-th has i tokens. The `~` of a key without
// a leading '/' counts as one.
func Ancestors(key []byte) []string {
	var buf buffer
	form, ancestor, _ := appendTokens(buf[:0], key)
	deepest := string(form[:ancestor])
	n := 1
	if ancestor > 0 {
		n += 1 + strings.Count(deepest, ".")
	}
	list := make([]string, 1, n)
	for i := range ancestor {
		if deepest[i] == '.' {
			list = append(list, deepest[:i])
		}
	}
	if ancestor > 0 {
		list = append(list, deepest)
	}
	return list
}

// check refuses what is no key at all.
func check(key []byte) *api.Error {
	if len(key) == 0 {
		return api.Errorf(api.KindBadKey, "the key is empty")
	}
	if len(key) > api.MaxKeyBytes {
		return api.Errorf(api.KindBadKey, "the key has %d bytes, the limit is %d", len(key), api.MaxKeyBytes)
	}
	return nil
}
