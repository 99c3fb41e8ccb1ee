package kvjson

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// ParseList makes a range request of the body of kv.list, which may be empty,
// and the range [key, rangeEnd) that its subject means. With a continue token
// the request is for the next page, at the revision of the first; the other
// options are the body's own. The error is an *api.Error of KindBadRequest.
func ParseList(body, key, rangeEnd []byte) (*kvpb.RangeRequest, error) {
	m := &kvpb.RangeRequest{Key: key, RangeEnd: rangeEnd}
	if len(body) == 0 {
		return m, nil
	}
	r := &reader{data: body}
	var token string
	continued := false
	r.object(func(name string) bool {
		if name == "continue" {
			token, continued = r.string(), true
			return true
		}
		return r.rangeOption(name, m)
	})
	if continued && r.err == nil {
		r.turn(m, token)
	}
	if err := r.finish(); err != nil {
		return nil, err
	}
	return m, nil
}

// ListAnswer is the answer of kv.list to a request made by ParseList: the page,
// its revision, which stays the same over all pages of a list, and the token
// that continues it where more follows.
func ListAnswer(req *kvpb.RangeRequest, resp *kvpb.RangeResponse) ([]byte, error) {
	w := &writer{b: make([]byte, 0, 64+len(resp.Kvs)*128)}
	revision := req.Revision
	if revision <= 0 {
		revision = resp.Revision
	}
	w.object(func() {
		w.keyValues("kvs", resp.Kvs)
		w.int("count", resp.Count)
		w.int("revision", revision)
		if n := len(resp.Kvs); resp.More && n > 0 {
			w.bool("more", true)
			w.string("continue", continuation(revision, resp.Kvs[n-1].Key))
		}
	})
	return w.finish()
}

// A continue token, in base64url without padding:
//
//	version 1 byte | revision 8 big-endian | last key given
const (
	tokenVersion = 1
	tokenHeader  = 9
)

var tokenEncoding = base64.RawURLEncoding.Strict()

func continuation(revision int64, last []byte) string {
	b := append(make([]byte, 0, tokenHeader+len(last)), tokenVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(revision))
	return tokenEncoding.EncodeToString(append(b, last...))
}

// turn makes m, the request for a first page, one for the page after token.
func (r *reader) turn(m *kvpb.RangeRequest, token string) {
	const mistake = "continue: give the token of the page before, unchanged, on the same subject"
	if len(token) > tokenEncoding.EncodedLen(tokenHeader+api.MaxKeyBytes) || bytes.ContainsAny([]byte(token), "\r\n") {
		r.fail(mistake)
		return
	}
	b, err := tokenEncoding.DecodeString(token)
	if err != nil || len(b) <= tokenHeader || b[0] != tokenVersion {
		r.fail(mistake)
		return
	}
	revision, last := binary.BigEndian.Uint64(b[1:]), b[tokenHeader:]
	switch {
	case revision == 0 || revision > math.MaxInt64,
		bytes.Compare(last, m.Key) < 0,
		!bytes.Equal(m.RangeEnd, []byte{0}) && bytes.Compare(last, m.RangeEnd) >= 0:
		r.fail(mistake)
	case m.Revision != 0 && m.Revision != int64(revision):
		r.fail("continue: the list is at revision %d, not %d: leave revision out", revision, m.Revision)
	}
	m.Revision, m.Key = int64(revision), successor(last)
}

// successor is the first key after key that can exist.
func successor(key []byte) []byte {
	if len(key) >= api.MaxKeyBytes {
		// No key is longer, so that the next one does not begin with it.
		if end := prefixEnd(key); !bytes.Equal(end, []byte{0}) {
			return end
		}
	}
	return append(slices.Clip(key), 0)
}
