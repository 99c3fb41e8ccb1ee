package api_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
)

// The protocol document's table of limits is what limits.go says.
func TestProtocolLimits(t *testing.T) {
	document, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		fmt.Sprintf("| a key | 1 to %d bytes |", api.MaxKeyBytes),
		fmt.Sprintf("| %d bytes, %d tokens |", api.MaxSubjectKeyBytes, api.MaxSubjectTokens),
		fmt.Sprintf("| %.1f MiB | `too_large` |", float64(api.MaxRequestBytes)/(1<<20)),
		fmt.Sprintf("| %d | `too_many_ops` |", api.MaxTxnOps),
		fmt.Sprintf("| keys deleted by one range | %s |", thousands(api.MaxDeleteKeys)),
		fmt.Sprintf("| a lease's time to live | %d ms to %s s |", api.MinLeaseMillis, thousands(api.MaxLeaseMillis/1000)),
		fmt.Sprintf("| a key's own time to live | %d ms to %s s |", api.MinTTLMillis, thousands(api.MaxLeaseMillis/1000)),
		fmt.Sprintf("| keys of one lease | %s | `too_large` |", thousands(api.MaxLeaseKeys)),
		fmt.Sprintf("| leases of one keep-alive | %d | `too_large` |", api.MaxKeepAliveIDs),
		fmt.Sprintf("| a lock's or election's name | 1 to %d bytes |", api.MaxKeyBytes-len("/0123456789abcdef")),
		fmt.Sprintf("in one request | %d s | `bad_request` |", api.MaxWaitMillis/1000),
		fmt.Sprintf("| `Nats-Msg-Id` | %d bytes |", api.MaxMsgIDBytes),
		fmt.Sprintf("| %d MiB | - |", api.MaxAnswerBytes>>20),
		fmt.Sprintf("| a NATS message | %d MiB |", api.MaxPayloadBytes>>20),
	} {
		if strings.Count(string(document), row) != 1 {
			t.Errorf("the document has not: %s", row)
		}
	}
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
