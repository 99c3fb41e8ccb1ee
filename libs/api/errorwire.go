package api

import (
	"encoding/json"
	"strconv"
	"strings"
)

// maxHeaderMessage bounds a message in a header; the body has all of it.
const maxHeaderMessage = 512

// errorBody is the JSON body of a failed request.
type errorBody struct {
	Kind        Kind   `json:"kind"`
	Message     string `json:"message"`
	Revision    int64  `json:"revision,string,omitempty"`
	ModRevision *int64 `json:"mod_revision,string,omitempty"`
	Compacted   int64  `json:"compacted,string,omitempty"`
}

// Header is what the reply of a failed request carries: the kind, the message
// and code of the NATS services convention, and the revisions that are known.
// It converts to a nats.Header.
func (e *Error) Header() map[string][]string {
	h := map[string][]string{
		HeaderError:            {string(e.Kind)},
		HeaderServiceError:     {oneLine(e.Message)},
		HeaderServiceErrorCode: {strconv.Itoa(e.Kind.Code())},
	}
	if e.Revision != 0 {
		h[HeaderRevision] = []string{strconv.FormatInt(e.Revision, 10)}
	}
	if e.hasModRevision() {
		h[HeaderModRevision] = []string{strconv.FormatInt(e.ModRevision, 10)}
	}
	if e.Compacted != 0 {
		h[HeaderCompacted] = []string{strconv.FormatInt(e.Compacted, 10)}
	}
	return h
}

// hasModRevision: a failed compare tells the key's revision, also where it is 0.
func (e *Error) hasModRevision() bool {
	return e.ModRevision != 0 || e.Kind == KindCompareFailed
}

// oneLine makes a header's value of a message, never an empty one: a client may
// take an empty error for none.
func oneLine(s string) string {
	if len(s) > maxHeaderMessage {
		s = s[:maxHeaderMessage] + "..."
	}
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, ""))
	if s = strings.TrimSpace(s); s == "" {
		return "failed"
	}
	return s
}

// Body is the JSON body of the reply, whatever form the request had.
func (e *Error) Body() []byte {
	b := errorBody{Kind: e.Kind, Message: e.Message, Revision: e.Revision, Compacted: e.Compacted}
	if e.hasModRevision() {
		b.ModRevision = &e.ModRevision
	}
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(b); err != nil {
		panic(err) // strings and integers always have a JSON form
	}
	return []byte(strings.TrimSuffix(out.String(), "\n"))
}

// ParseError is the error that a reply carries, nil where it carries none. The
// headers decide; the body adds the whole message where it can be read. An
// error of the services convention without a kind, which no part of Kvorum
// sends, is KindInternal.
func ParseError(header map[string][]string, body []byte) *Error {
	first := func(name string) string {
		if v := header[name]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	number := func(name string) int64 {
		n, err := strconv.ParseInt(first(name), 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	e := &Error{Kind: Kind(first(HeaderError)), Message: first(HeaderServiceError)}
	if e.Kind == "" {
		code := first(HeaderServiceErrorCode)
		if e.Message == "" && code == "" {
			return nil
		}
		e.Kind, e.Message = KindInternal, strings.TrimSpace(e.Message+" "+code)
		return e
	}
	e.Revision = number(HeaderRevision)
	e.ModRevision = number(HeaderModRevision)
	e.Compacted = number(HeaderCompacted)
	var b errorBody
	if json.Unmarshal(body, &b) == nil && b.Kind == e.Kind && b.Message != "" {
		e.Message = b.Message
	}
	return e
}
