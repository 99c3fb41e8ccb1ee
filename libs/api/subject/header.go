package subject

import "github.com/kvorum/kvorum/libs/api"

// EscapeHeader is the form of a key in the header Kv-Key: printable ASCII
// except space and '%' stands for itself, '/' and '.' too; every other byte is
// %XX in upper-case hex.
func EscapeHeader(key []byte) string {
	b := make([]byte, 0, len(key)+16)
	for _, c := range key {
		if inHeader(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(b)
}

// UnescapeHeader is the inverse of EscapeHeader; it refuses every other form,
// and what is no key, with an *api.Error of KindBadKey.
func UnescapeHeader(s string) ([]byte, error) {
	key, ok := appendUnescaped(make([]byte, 0, len(s)), s)
	if !ok || EscapeHeader(key) != s {
		return nil, api.Errorf(api.KindBadKey, "the header %s is not in canonical form", api.HeaderKey)
	}
	if err := check(key); err != nil {
		return nil, err
	}
	return key, nil
}

func inHeader(c byte) bool { return '!' <= c && c <= '~' && c != '%' }
