package command_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/kvorum/kvorum/libs/api/kvpb"
	"github.com/kvorum/kvorum/libs/core/command"
)

func put(key string) []byte {
	b, err := proto.Marshal(&command.Command{Op: &command.Command_Put{Put: &kvpb.PutRequest{Key: []byte(key)}}})
	if err != nil {
		panic(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	h := command.Header{Origin: 7, Sequence: 1 << 63, Time: -5, Count: 2}
	entry := command.Append([]byte("before"), h, [][]byte{put("/a"), put("/b")})[len("before"):]
	got, commands, err := command.Decode(entry)
	if err != nil || got != h || len(commands) != 2 || string(commands[1].GetPut().GetKey()) != "/b" {
		t.Fatalf("%+v %v %v", got, commands, err)
	}
}

// What this program cannot understand in full is refused: applied in part it
// would make another state than elsewhere.
func TestMalformed(t *testing.T) {
	good := command.Append(nil, command.Header{Count: 1}, [][]byte{put("/a")})
	newer := append(put("/a"), protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)...)
	for says, entry := range map[string][]byte{
		"bytes":               good[:command.HeaderBytes-1],
		"version 2":           append([]byte{2}, good[1:]...),
		"is cut":              good[:len(good)-1],
		"after the last":      append(bytes.Clone(good), 0),
		"command 0":           command.Append(nil, command.Header{}, [][]byte{[]byte("\xff")}),
		"does not know":       command.Append(nil, command.Header{}, [][]byte{newer}),
		"command 0 of 1 is c": good[:command.HeaderBytes+2],
	} {
		if _, _, err := command.Decode(entry); !errors.Is(err, command.ErrMalformed) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(command.Append(nil, command.Header{Origin: 1, Count: 2}, [][]byte{put("/a"), put("/b")}))
	f.Add([]byte{command.Version})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, commands, err := command.Decode(b)
		if err != nil {
			return
		}
		if len(commands) != h.Count {
			t.Fatalf("%d commands, the header says %d", len(commands), h.Count)
		}
	})
}

func Example() {
	entry := command.Append(nil, command.Header{Origin: 1, Sequence: 9}, [][]byte{put("/a")})
	h, commands, err := command.Decode(entry)
	fmt.Println(h.Sequence, len(commands), err)
	// Output: 9 1 <nil>
}
