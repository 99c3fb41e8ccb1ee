// Package api is the contract between Kvorum and its clients: the names of
// subjects and headers, the error kinds, the limits and the text forms of
// positions and epochs. PROTOCOL.md beside this file is the specification; the
// sub-packages hold the key/subject mapping (subject), the messages (kvpb) and
// their JSON forms (kvjson).
//
// It imports nothing but the protobuf runtime, so that any Go program can
// afford it.
package api
