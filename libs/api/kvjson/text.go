package kvjson

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// text reads a string. The result may be part of the input: copy it to keep it.
func (r *reader) text() []byte {
	if r.err != nil {
		return nil
	}
	if c := r.peek(); c != '"' {
		r.fail("want a string, got %s", describe(c))
		return nil
	}
	start := r.pos + 1
	stop, escaped := start, false
	for ; stop < len(r.data) && r.data[stop] != '"'; stop++ {
		switch c := r.data[stop]; {
		case c == '\\':
			escaped = true
			stop++ // whatever it escapes, it does not end the string
		case c < ' ':
			r.fail("control character %#02x in a string: escape it", c)
			return nil
		}
	}
	if stop >= len(r.data) {
		r.pos = len(r.data)
		r.fail("a string does not end")
		return nil
	}
	r.pos = stop + 1
	s := r.data[start:stop]
	if !utf8.Valid(s) {
		r.fail("invalid UTF-8 in a string: send bytes as base64")
		return nil
	}
	if escaped {
		return r.unescape(s)
	}
	return s
}

// unescape resolves the escapes of a string in valid UTF-8.
func (r *reader) unescape(s []byte) []byte {
	out := make([]byte, 0, len(s))
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return append(out, s...)
		}
		out, s = append(out, s[:i]...), s[i+1:]
		c := s[0] // text saw to it that something follows
		s = s[1:]
		if c == 'u' {
			char, n := unicodeEscape(s)
			if n == 0 {
				r.fail("an escape \\u that is no character: send bytes as base64")
				return nil
			}
			out, s = utf8.AppendRune(out, char), s[n:]
			continue
		}
		i = bytes.IndexByte([]byte(`"\/bfnrt`), c)
		if i < 0 {
			r.fail("unknown escape %q in a string", []byte{'\\', c})
			return nil
		}
		out = append(out, "\"\\/\b\f\n\r\t"[i])
	}
}

// unicodeEscape is the character of what follows a \u, and how many bytes it
// takes: 4, 10 for a surrogate pair, 0 if it is none.
func unicodeEscape(s []byte) (rune, int) {
	high, ok := hex4(s)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(high) {
		return high, 4
	}
	if len(s) < 10 || s[4] != '\\' || s[5] != 'u' {
		return 0, 0
	}
	low, ok := hex4(s[6:])
	char := utf16.DecodeRune(high, low)
	if !ok || char == utf8.RuneError {
		return 0, 0
	}
	return char, 10
}

func hex4(s []byte) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(s[:4]), 16, 16)
	return rune(n), err == nil
}

const lowerHex = "0123456789abcdef"

// appendText appends a string with its quotes. s is valid UTF-8.
func appendText[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	done := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[done:i]...)
		done = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', lowerHex[c>>4], lowerHex[c&15])
		}
	}
	return append(append(b, s[done:]...), '"')
}
