package mvcc

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// kvOverheadBytes is about what a key-value adds to an answer beside key and value.
const kvOverheadBytes = 40

// page gathers the answer of one range.
type page struct {
	src      *source
	r        *kvpb.RangeRequest
	resp     *kvpb.RangeResponse
	limit    int64 // 0: none
	bytesMax int
	bytes    int
	cut      bool // left out at least one key because of bytesMax
	filtered bool
	values   bool
	unread   int    // how many more keys are counted one by one
	last     []byte // the key after which the others were left to be counted together
}

// pageOf answers a range from a source. The revision of the answer is left to
// the caller; that the request is well formed was checked before.
func pageOf(src *source, r *kvpb.RangeRequest, l *limits, bytesMax int) (*page, error) {
	p := &page{
		src: src, r: r, resp: &kvpb.RangeResponse{}, limit: r.Limit, bytesMax: bytesMax,
		filtered: r.MinModRevision|r.MaxModRevision|r.MinCreateRevision|r.MaxCreateRevision != 0,
		values:   !r.KeysOnly, unread: l.segmentKeys / 2,
	}
	if len(r.RangeEnd) == 0 {
		rec, found, err := src.get(r.Key)
		if err == nil && found {
			_, err = p.add(&item{key: r.Key, rec: rec})
		}
		return p, err
	}
	if r.SortTarget != kvpb.RangeRequest_KEY && !r.CountOnly {
		return p, p.sorted()
	}
	descend := r.SortOrder == kvpb.RangeRequest_DESCEND
	if err := src.scan(r.Key, r.RangeEnd, descend, p.add); err != nil {
		return p, err
	}
	return p, p.countRest(descend)
}

// countRest counts the keys that the scan has left out.
func (p *page) countRest(descend bool) error {
	key, end := p.r.Key, p.r.RangeEnd
	switch {
	case p.last == nil || descend && isOpenEnd(p.last): // no key is before that one
		return nil
	case descend:
		end = p.last
	default:
		key = append(p.last, 0)
	}
	n, err := p.src.count(key, end)
	p.resp.Count += n
	return err
}

// add counts a key and gives it if it passes the filters and fits. It reads no
// record once the page is full, only whether there are more keys, and leaves
// them to countRest where there are many.
func (p *page) add(i *item) (bool, error) {
	p.resp.Count++
	if p.r.CountOnly || p.resp.More {
		if p.unread--; p.unread == 0 {
			p.last = bytes.Clone(i.key)
		}
		return p.unread > 0, nil
	}
	full := p.limit > 0 && int64(len(p.resp.Kvs)) >= p.limit
	if full && !p.filtered {
		p.resp.More = true
		return true, nil
	}
	rec, err := i.record()
	if err != nil {
		return false, err
	}
	if p.filtered && !passes(p.r, rec) {
		return true, nil
	}
	if full {
		p.resp.More = true
		return true, nil
	}
	size := len(i.key) + kvOverheadBytes
	if p.values {
		size += int(rec.size)
	}
	if len(p.resp.Kvs) > 0 && p.bytes+size > p.bytesMax {
		p.resp.More, p.cut = true, true
		return true, nil
	}
	kv, err := p.src.keyValue(i.key, rec, p.values)
	if err != nil {
		return false, err
	}
	p.bytes += size
	p.resp.Kvs = append(p.resp.Kvs, kv)
	return true, nil
}

// passes applies the request's revision filters.
func passes(r *kvpb.RangeRequest, rec *record) bool {
	return rec.mod >= r.MinModRevision && (r.MaxModRevision == 0 || rec.mod <= r.MaxModRevision) &&
		rec.create >= r.MinCreateRevision && (r.MaxCreateRevision == 0 || rec.create <= r.MaxCreateRevision)
}

// sorted answers a range sorted by something other than its keys: everything is
// gathered, sorted, and only then cut.
func (p *page) sorted() error {
	all := *p
	all.resp, all.limit, all.bytesMax = &kvpb.RangeResponse{}, 0, sortBytesMax
	all.values = p.values || p.r.SortTarget == kvpb.RangeRequest_VALUE
	if err := p.src.scan(p.r.Key, p.r.RangeEnd, false, all.add); err != nil {
		return err
	}
	if all.cut {
		return api.Errorf(api.KindTooLarge, "sorting takes more than %d bytes of keys and values: narrow the range or sort by key", sortBytesMax)
	}
	kvs := all.resp.Kvs
	descend := p.r.SortOrder == kvpb.RangeRequest_DESCEND
	slices.SortStableFunc(kvs, func(a, b *kvpb.KeyValue) int {
		if descend {
			a, b = b, a
		}
		return compareBy(p.r.SortTarget, a, b)
	})
	p.resp.Count = all.resp.Count
	for _, kv := range kvs {
		if p.r.KeysOnly {
			kv.Value = nil
		}
		size := len(kv.Key) + len(kv.Value) + kvOverheadBytes
		p.cut = len(p.resp.Kvs) > 0 && p.bytes+size > p.bytesMax
		if p.cut || p.limit > 0 && int64(len(p.resp.Kvs)) == p.limit {
			p.resp.More = true
			return nil
		}
		p.bytes += size
		p.resp.Kvs = append(p.resp.Kvs, kv)
	}
	return nil
}

func compareBy(t kvpb.RangeRequest_SortTarget, a, b *kvpb.KeyValue) int {
	switch t {
	case kvpb.RangeRequest_VERSION:
		return cmp.Compare(a.Version, b.Version)
	case kvpb.RangeRequest_CREATE:
		return cmp.Compare(a.CreateRevision, b.CreateRevision)
	case kvpb.RangeRequest_MOD:
		return cmp.Compare(a.ModRevision, b.ModRevision)
	default:
		return bytes.Compare(a.Value, b.Value)
	}
}

// answer is the room that the results of one transaction may still take.
type answer struct {
	limits *limits
	left   int
	over   bool // the results did not fit: none of them will be given
}

func (a *answer) take(n int) {
	a.left -= n
	a.over = a.over || a.left < 0
}

// page answers a range of a transaction. Where the results do not fit anyway it
// reads nothing. A range is cut at the bound that it asks for itself only.
func (a *answer) page(src *source, r *kvpb.RangeRequest) (*kvpb.RangeResponse, error) {
	if a.over {
		return &kvpb.RangeResponse{}, nil
	}
	bytesMax, own := a.left, false
	if r.MaxBytes > 0 && r.MaxBytes <= int64(a.left) {
		bytesMax, own = int(r.MaxBytes), true
	}
	p, err := pageOf(src, r, a.limits, bytesMax)
	if err != nil {
		return nil, err
	}
	a.take(p.bytes)
	a.over = a.over || p.cut && !own
	return p.resp, nil
}
