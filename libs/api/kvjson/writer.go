package kvjson

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kvorum/kvorum/libs/api"
	"github.com/kvorum/kvorum/libs/api/kvpb"
)

// writer appends JSON. Commas follow from what is there already; the first
// mistake stays in err.
type writer struct {
	b   []byte
	err *api.Error
}

func (w *writer) fail(format string, args ...any) {
	if w.err == nil {
		w.err = api.Errorf(api.KindBadRequest, format, args...)
	}
}

func (w *writer) finish() ([]byte, error) {
	if w.err != nil {
		return nil, w.err
	}
	return w.b, nil
}

// value makes room for a value: a comma where one stands before it.
func (w *writer) value() {
	if n := len(w.b); n > 0 {
		switch w.b[n-1] {
		case '{', '[', ':':
		default:
			w.b = append(w.b, ',')
		}
	}
}

func (w *writer) name(name string) {
	w.value()
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
}

func (w *writer) object(fields func()) {
	w.value()
	w.b = append(w.b, '{')
	fields()
	w.b = append(w.b, '}')
}

// array writes the field called name: item for each of n.
func (w *writer) array(name string, n int, item func(i int)) {
	w.name(name)
	w.b = append(w.b, '[')
	for i := range n {
		item(i)
	}
	w.b = append(w.b, ']')
}

// list is array, left out if empty.
func (w *writer) list(name string, n int, item func(i int)) {
	if n > 0 {
		w.array(name, n, item)
	}
}

func (w *writer) string(name, s string) {
	w.name(name)
	w.text(s)
}

// text writes a string, which is no key or value: invalid UTF-8 is replaced.
func (w *writer) text(s string) { w.b = appendText(w.b, strings.ToValidUTF8(s, "\uFFFD")) }

func (w *writer) int(name string, n int64) {
	w.name(name)
	w.b = append(strconv.AppendInt(append(w.b, '"'), n, 10), '"')
}

// number is int, left out if 0.
func (w *writer) number(name string, n int64) {
	if n != 0 {
		w.int(name, n)
	}
}

func (w *writer) uint(name string, n uint64) {
	w.name(name)
	w.b = append(strconv.AppendUint(append(w.b, '"'), n, 10), '"')
}

func (w *writer) bool(name string, v bool) {
	w.name(name)
	w.b = strconv.AppendBool(w.b, v)
}

// flag is bool, left out if false.
func (w *writer) flag(name string, v bool) {
	if v {
		w.bool(name, v)
	}
}

func (w *writer) hex(name string, n uint64) {
	w.name(name)
	w.hexDigits(n)
}

func (w *writer) hexDigits(n uint64) {
	w.b = append(w.b, '"')
	for shift := 60; shift >= 0; shift -= 4 {
		w.b = append(w.b, lowerHex[n>>shift&15])
	}
	w.b = append(w.b, '"')
}

// bytes writes text under name, or base64 under its other name.
func (w *writer) bytes(name string, v []byte) {
	if utf8.Valid(v) {
		w.name(name)
		w.b = appendText(w.b, v)
		return
	}
	w.name(name + inBase64)
	w.b = append(base64Strict.AppendEncode(append(w.b, '"'), v), '"')
}

// filled is bytes, left out if empty.
func (w *writer) filled(name string, v []byte) {
	if len(v) > 0 {
		w.bytes(name, v)
	}
}

func (w *writer) position(name string, p *kvpb.Position) {
	if p != nil {
		w.string(name, api.Position{Revision: p.Revision, Sub: p.Sub}.String())
	}
}

func (w *writer) epoch(name string, e *kvpb.Epoch) {
	if e != nil {
		w.string(name, api.Epoch{Term: e.Term, N: e.N}.String())
	}
}
