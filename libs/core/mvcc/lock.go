package mvcc

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// The contenders of a lock are the keys made of its name, a slash and the 16
// lower-case hex digits of a lease. The one with the lowest create revision
// holds it, and that revision is its fence. Of contenders created in one
// revision, which the requests for locks never do, the one with the lowest key
// comes first.
const contenderDigits = 16

// scanContenders calls fn with the contenders of a lock in the order of keys. Key
// and rec are valid during the call only.
func scanContenders(src *source, name []byte, fn func(key []byte, rec *record) error) error {
	prefix := append(bytes.Clone(name), '/')
	// All that begins with a digit, and a little more.
	lower, upper := append(bytes.Clone(prefix), '0'), append(bytes.Clone(prefix), 'f'+1)
	return src.scan(lower, upper, false, func(i *item) (bool, error) {
		if !isContender(i.key[len(prefix):]) {
			return true, nil
		}
		rec, err := i.record()
		if err != nil {
			return false, err
		}
		return true, fn(i.key, rec)
	})
}

func isContender(suffix []byte) bool {
	if len(suffix) != contenderDigits {
		return false
	}
	for _, c := range suffix {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// fence is the create revision of a lock's holder, 0 where there is none.
func fence(src *source, name []byte) (lowest int64, err error) {
	err = scanContenders(src, name, func(_ []byte, rec *record) error {
		if lowest == 0 || rec.create < lowest {
			lowest = rec.create
		}
		return nil
	})
	return lowest, err
}

// Contenders gives the first contenders of a lock or an election, the holder
// first, up to limit of them with their values. A limit of 0 gives them all,
// without values. It looks at every contender whatever the limit.
func (p *Published) Contenders(name []byte, limit int) ([]*kvpb.KeyValue, error) {
	if e := checkKeys(name, nil, new(int)); e != nil {
		return nil, e
	}
	_, view, err := p.open()
	if err != nil {
		return nil, err
	}
	defer view.Close()
	src := &source{view: view}
	var queue []*kvpb.KeyValue
	err = scanContenders(src, name, func(key []byte, rec *record) error {
		queue = append(queue, rec.keyValue(bytes.Clone(key), nil))
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(queue, func(a, b *kvpb.KeyValue) int { return cmp.Compare(a.CreateRevision, b.CreateRevision) })
	if limit <= 0 {
		return queue, nil
	}
	queue = queue[:min(limit, len(queue))]
	for _, kv := range queue {
		rec, _, err := src.get(kv.Key)
		if err == nil {
			kv.Value, err = src.value(kv.Key, &rec)
		}
		if err != nil {
			return nil, err
		}
	}
	return queue, nil
}
