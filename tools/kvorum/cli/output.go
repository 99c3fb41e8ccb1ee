package cli

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api/kvjson"
	"github.com/kvorum/kvorum/libs/client"
)

// maxCell bounds a value in a table, in bytes.
const maxCell = 60

// json prints a message as a line of JSON.
func (s *session) json(m proto.Message) error {
	line, err := kvjson.Marshal(m)
	if err != nil {
		return err
	}
	_, err = s.Out.Write(append(line, '\n'))
	return err
}

// print prints a message as JSON, or else lines.
func (s *session) print(m proto.Message, lines ...string) error {
	if s.output == "json" {
		return s.json(m)
	}
	for _, l := range lines {
		if _, err := fmt.Fprintln(s.Out, l); err != nil {
			return err
		}
	}
	return nil
}

// table prints rows below a heading. Cells do not contain tabs.
func (s *session) table(heading string, rows []string) error {
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, heading)
	for _, r := range rows {
		fmt.Fprintln(w, r)
	}
	return w.Flush()
}

const kvHeading = "KEY\tVALUE\tMOD\tCREATE\tVERSION"

func kvRow(kv client.KeyValue) string {
	return fmt.Sprintf("%s\t%s\t%d\t%d\t%d", keyText(kv.Key), cell(kv.Value), kv.ModRevision, kv.CreateRevision, kv.Version)
}

// keyText is text for what a space ends.
func keyText(key string) string {
	if strings.Contains(key, " ") {
		return strconv.Quote(key)
	}
	return text(key)
}

// text is a key or value as it is where that is harmless on a terminal and in a
// table, else in Go's quotes.
func text(s string) string {
	quoted := strconv.Quote(s)
	if s == "" || len(quoted) != len(s)+2 || !utf8.ValidString(s) {
		return quoted
	}
	return s
}

// cell is text, cut where it would spoil a table.
func cell(value []byte) string {
	if len(value) <= maxCell {
		return text(string(value))
	}
	cut := value[:maxCell]
	for len(cut) > 0 && !utf8.Valid(cut) && len(cut) > maxCell-utf8.UTFMax {
		cut = cut[:len(cut)-1]
	}
	return fmt.Sprintf("%s... (%d bytes)", text(string(bytes.Clone(cut))), len(value))
}
