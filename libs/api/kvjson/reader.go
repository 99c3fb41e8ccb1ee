package kvjson

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kvorum/kvorum/libs/api"
)

// maxDepth bounds how deep values nest: three levels for each nested
// transaction, and every transaction of a nesting has an operation at least.
const maxDepth = 3*api.MaxTxnOps + 8

// base64Strict refuses set bits after the last byte.
var base64Strict = base64.StdEncoding.Strict()

// reader walks over JSON text. The first mistake stays in err; after it every
// method returns at once, with a zero value.
type reader struct {
	data    []byte
	pos     int
	depth   int
	path    []byte // of the value being read, without the leading $
	lenient bool   // unknown fields are skipped
	err     *api.Error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = api.Errorf(api.KindBadRequest, "$%s: %s", r.path, fmt.Sprintf(format, args...))
	}
}

// finish gives the error, if any; the text must have ended.
func (r *reader) finish() error {
	r.path = r.path[:0]
	if c := r.peek(); r.err == nil && c != end {
		r.fail("%s after the end", describe(c))
	}
	if r.err != nil {
		return r.err
	}
	return nil
}

// end is what peek gives at the end of the text.
const end rune = -1

// peek is the first byte of the next token.
func (r *reader) peek() rune {
	for ; r.pos < len(r.data); r.pos++ {
		switch c := r.data[r.pos]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return rune(c)
		}
	}
	return end
}

// take consumes the one byte token c.
func (r *reader) take(c rune) {
	if r.err != nil {
		return
	}
	if got := r.peek(); got != c {
		r.fail("want %q, got %s", c, describe(got))
		return
	}
	r.pos++
}

func describe(c rune) string {
	switch c {
	case end:
		return "the end of the body"
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return strconv.QuoteRune(c)
}

// sequence reads items between open and shut, separated by commas.
func (r *reader) sequence(open, shut rune, item func(i int)) {
	r.take(open)
	if r.depth++; r.depth > maxDepth {
		r.fail("nested too deep")
	}
	for i := 0; r.err == nil; i++ {
		if i == 0 && r.peek() == shut {
			break
		}
		item(i)
		if r.peek() != ',' {
			break
		}
		r.pos++
	}
	r.take(shut)
	r.depth--
}

// object reads an object. field reads the value of a field, or returns false
// for a name that it does not know. Both forms of a value count as one field.
func (r *reader) object(field func(name string) bool) {
	var seen []string
	mark := len(r.path)
	r.sequence('{', '}', func(int) {
		name := string(r.text())
		r.take(':')
		if r.err != nil {
			return
		}
		r.path = appendName(r.path, name)
		base := strings.TrimSuffix(name, inBase64)
		switch {
		case slices.Contains(seen, base):
			r.fail("given twice, or both as text and as base64")
		case field(name):
			seen = append(seen, base)
		case r.lenient:
			r.skip()
		default:
			r.fail("unknown field")
		}
		r.path = r.path[:mark]
	})
}

// unknown is the field function of an object without fields.
func unknown(string) bool { return false }

// appendName appends a field to a path. A client's own names are quoted and cut.
func appendName(path []byte, name string) []byte {
	simple := name != ""
	for i := 0; i < len(name) && simple; i++ {
		c := name[i] | 0x20
		simple = 'a' <= c && c <= 'z' || '0' <= name[i] && name[i] <= '9' || name[i] == '_'
	}
	const longest = 40
	switch {
	case simple && len(name) <= longest:
		return append(append(path, '.'), name...)
	case len(name) > longest:
		name = name[:longest] + "..."
	}
	return append(strconv.AppendQuoteToASCII(append(path, '['), name), ']')
}

// array reads an array; item reads one of its values.
func (r *reader) array(item func()) {
	mark := len(r.path)
	r.sequence('[', ']', func(i int) {
		r.path = append(strconv.AppendInt(append(r.path, '['), int64(i), 10), ']')
		item()
		r.path = r.path[:mark]
	})
}

// skip reads a value of any kind and forgets it.
func (r *reader) skip() {
	switch r.peek() {
	case '{':
		r.object(unknown)
	case '[':
		r.array(r.skip)
	case '"':
		r.text()
	default:
		if word := r.word(); !json.Valid(word) {
			r.fail("malformed value")
		}
	}
}

// word consumes a literal or number, whatever it consists of.
func (r *reader) word() []byte {
	r.peek()
	start := r.pos
	for ; r.pos < len(r.data); r.pos++ {
		c := r.data[r.pos]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' {
			break
		}
	}
	return r.data[start:r.pos]
}

func (r *reader) bool() bool {
	if r.err != nil {
		return false
	}
	c := r.peek()
	word := r.word()
	if string(word) != "true" && string(word) != "false" {
		r.fail("want true or false, got %s", describe(c))
	}
	return string(word) == "true"
}

// integer reads the digits of a number, or of a string that holds one.
func (r *reader) integer() string {
	if r.err != nil {
		return ""
	}
	var s string
	if r.peek() == '"' {
		s = string(r.text())
	} else {
		s = string(r.word())
	}
	digits := strings.TrimPrefix(s, "-")
	ok := digits != "" && (digits[0] != '0' || s == "0")
	for i := range len(digits) {
		ok = ok && '0' <= digits[i] && digits[i] <= '9'
	}
	if !ok {
		r.fail("want an integer, as a number or as a decimal string")
	}
	return s
}

func (r *reader) int64() int64 {
	s := r.integer()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		r.fail("%.20s is no 64-bit integer", s)
	}
	return n
}

func (r *reader) uint64() uint64 {
	s := r.integer()
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		r.fail("%.20s is no unsigned 64-bit integer", s)
	}
	return n
}

// hex reads 16 hex digits: a lease or a node.
func (r *reader) hex() uint64 {
	s := string(r.text())
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 {
		r.fail("want 16 hex digits in a string")
	}
	return n
}

// string reads a string to keep.
func (r *reader) string() string { return string(r.text()) }

// inBase64 is the suffix of a field that holds bytes in base64.
const inBase64 = "_base64"

// bytes reads the field called name: text, or base64 if the name says so.
func (r *reader) bytes(name string) []byte {
	text := r.text()
	if r.err != nil {
		return nil
	}
	if !strings.HasSuffix(name, inBase64) {
		return slices.Clone(text)
	}
	b := make([]byte, base64Strict.DecodedLen(len(text)))
	n, err := base64Strict.Decode(b, text)
	if err != nil || slices.Contains(text, '\n') || slices.Contains(text, '\r') {
		r.fail("want standard base64 with padding")
	}
	return b[:n]
}
