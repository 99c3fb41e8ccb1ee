package mvcc

import (
	"errors"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/store"
	"github.com/tidwall/btree"
)

// Published is the state as of one applied entry. It does not change and may be
// used by any goroutine for as long as the store keeps its versions; after that,
// reads of the newest revision are answered from a newer Published.
//
// Its methods return an *api.Error where the request is at fault, else an
// error of the store, which may wrap store.ErrCorrupt.
type Published struct {
	Index, Term uint64   // of the entry
	TS          store.TS // as of which its keys are read
	Revision    int64
	Compacted   int64    // reads below this revision fail; 0 for none
	Digest      [32]byte // of the effects of all entries so far
	// DiscardTS is the TS as of which the compacted revision is read, 0 before
	// the first compaction: no read needs older versions of the keys. It may be
	// given to State.Discard only once the state is durable up to Index.
	// Otherwise a restart would replay entries from before the compaction,
	// which may read revisions that it took.
	DiscardTS store.TS

	m        *Machine
	segments *btree.BTreeG[*segment]
}

// open opens the state as of p, or of a newer Published where p's versions are
// gone.
func (p *Published) open() (*Published, store.View, error) {
	for {
		view, err := p.m.st.Read(p.TS)
		newer := p.m.Published()
		if err == nil || !errors.Is(err, store.ErrDiscarded) || newer.TS <= p.TS {
			return p, view, err
		}
		p = newer
	}
}

// source reads as of a revision, 0 being the newest. The caller runs done at
// the end, if there was no error. view is p's own, for looking up the revision.
func (p *Published) source(view store.View, revision int64) (src *source, done func(), err error) {
	if revision == 0 || revision == p.Revision {
		return &source{view: view, segments: p.segments}, func() {}, nil
	}
	if err := readable(revision, p.Revision, p.Compacted); err != nil {
		return nil, nil, err
	}
	ts, err := revisionTS(view, revision)
	if err != nil {
		return nil, nil, err
	}
	old, err := p.readAt(ts, revision)
	if err != nil {
		return nil, nil, err
	}
	return &source{view: old, ts: ts}, old.Close, nil
}

// readAt opens the state as of a revision's TS, which a compaction newer than p
// may have discarded.
func (p *Published) readAt(ts store.TS, revision int64) (store.View, error) {
	view, err := p.m.st.Read(ts)
	if errors.Is(err, store.ErrDiscarded) {
		return nil, errCompacted(revision, p.m.Published().Compacted)
	}
	return view, err
}

// Range answers a range. The answer ends at the request's max_bytes or at
// api.MaxAnswerBytes, whichever is less, with at least one key, and says that
// there is more.
func (p *Published) Range(r *kvpb.RangeRequest) (*kvpb.RangeResponse, error) {
	if err := CheckRange(r); err != nil {
		return nil, err
	}
	p, view, err := p.open()
	if err != nil {
		return nil, err
	}
	defer view.Close()
	src, done, err := p.source(view, r.Revision)
	if err != nil {
		return nil, err
	}
	defer done()
	bytesMax := p.m.limits.answerBytes
	if r.MaxBytes > 0 {
		bytesMax = int(min(r.MaxBytes, int64(bytesMax)))
	}
	page, err := pageOf(src, r, &p.m.limits, bytesMax)
	if err != nil {
		return nil, err
	}
	page.resp.Revision = p.Revision
	return page.resp, nil
}

// Txn answers a transaction that ReadOnly holds for; another is bad_request.
// Results of more than api.MaxAnswerBytes are too_large.
func (p *Published) Txn(r *kvpb.TxnRequest) (*kvpb.TxnResponse, error) {
	if e := checkTxn(r, new(int)); e != nil {
		return nil, e
	}
	if !ReadOnly(r) {
		return nil, errReadOnly
	}
	p, view, err := p.open()
	if err != nil {
		return nil, err
	}
	defer view.Close()
	path, err := branches(&source{view: view}, r, nil)
	if err != nil {
		return nil, err
	}
	o := &reader{p: p, view: view, answer: answer{limits: &p.m.limits, left: p.m.limits.answerBytes}}
	resp, err := runTxn(o, r, &path)
	if err == nil && o.answer.over {
		err = api.Errorf(api.KindTooLarge, "the results have more than %d bytes: give the ranges a limit or max_bytes", p.m.limits.answerBytes)
	}
	if err != nil {
		return nil, err
	}
	return resp, nil
}

var errReadOnly = api.Errorf(api.KindBadRequest, "the transaction can write: it needs a log entry")

// reader is the operator of transactions that write nothing.
type reader struct {
	p      *Published
	view   store.View
	answer answer
}

func (o *reader) currentRevision() int64 { return o.p.Revision }

func (o *reader) getRange(r *kvpb.RangeRequest) (*kvpb.RangeResponse, error) {
	src, done, err := o.p.source(o.view, r.Revision)
	if err != nil {
		return nil, err
	}
	defer done()
	resp, err := o.answer.page(src, r)
	if err != nil {
		return nil, err
	}
	resp.Revision = o.p.Revision
	return resp, nil
}

func (o *reader) put(*kvpb.PutRequest) (*kvpb.PutResponse, error) { return nil, errReadOnly }

func (o *reader) deleteRange(*kvpb.DeleteRangeRequest) (*kvpb.DeleteRangeResponse, error) {
	return nil, errReadOnly
}
