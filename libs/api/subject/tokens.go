package subject

import (
	"bytes"
	"strings"

	"github.com/kvorum/kvorum/libs/api"
)

const upperHex = "0123456789ABCDEF"

// plain are the bytes that stand for themselves inside a token.
var plain = func() (t [256]bool) {
	for c := '!'; c <= '~'; c++ {
		t[c] = !strings.ContainsRune(".*>%/", c)
	}
	return t
}()

// appendTokens appends the form of key to b, which is empty with room for a
// buffer, and stops where the limits of a subject are passed: fits is then
// false. ancestor is the length of the deepest proper ancestor that fits.
func appendTokens(b, key []byte) (form []byte, ancestor int, fits bool) {
	tokens := 1
	switch {
	case len(key) == 0:
		return b, 0, false
	case key[0] != '/':
		b = append(b, none...)
		ancestor, tokens = len(b), 2
		b = append(b, '.')
	default:
		key = key[1:]
		if bytes.HasPrefix(key, []byte(none)) && (len(key) == 1 || key[1] == '/') {
			b, key = append(b, "%7E"...), key[1:]
		}
	}
	dot := len(b) - 1 // before the current token
	if tokens == 1 {
		dot = -1
	}
	for _, c := range key {
		switch {
		case plain[c]:
			b = append(b, c)
		case c == '/':
			if len(b) == dot+1 {
				b = append(b, '%')
			}
			if len(b) > api.MaxSubjectKeyBytes {
				return b, ancestor, false
			}
			ancestor, dot = len(b), len(b)
			if tokens++; tokens > api.MaxSubjectTokens {
				return b, ancestor, false
			}
			b = append(b, '.')
		default:
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
		if len(b) > api.MaxSubjectKeyBytes {
			return b, ancestor, false
		}
	}
	if len(b) == dot+1 {
		b = append(b, '%')
	}
	return b, ancestor, len(b) <= api.MaxSubjectKeyBytes
}

// read makes a key of tokens, in any form that has a meaning; Decode then sees
// whether it was the canonical one.
func read(tokens string) ([]byte, error) {
	key := make([]byte, 0, len(tokens)+1)
	rest, noSlash := strings.CutPrefix(tokens, none+".")
	for first := true; ; first = false {
		token, after, more := strings.Cut(rest, ".")
		if tokens == none {
			return nil, api.Errorf(api.KindBadKey, "key \"~\" is cut: ~ is followed by the segments of a key without a leading '/'")
		}
		if token == "" {
			return nil, api.Errorf(api.KindBadKey, "key %q has an empty token: an empty segment is written %%", tokens)
		}
		if !first || !noSlash {
			key = append(key, '/')
		}
		if token != "%" {
			var ok bool
			if key, ok = appendUnescaped(key, token); !ok {
				return nil, api.Errorf(api.KindBadKey, "key %q has a %% that two hex digits do not follow", tokens)
			}
		}
		if !more {
			return key, nil
		}
		rest = after
	}
}

// appendUnescaped appends s with every %XX replaced by its byte.
func appendUnescaped(b []byte, s string) (_ []byte, ok bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if len(s)-i < 3 {
				return b, false
			}
			high, ok1 := unhex(s[i+1])
			low, ok2 := unhex(s[i+2])
			if !ok1 || !ok2 {
				return b, false
			}
			c, i = high<<4|low, i+2
		}
		b = append(b, c)
	}
	return b, true
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
