package api_test

import (
	"math"
	"testing"

	"github.com/kvorum/kvorum/libs/api"
)

func TestPositions(t *testing.T) {
	ordered := []api.Position{{}, {0, 1}, {1, 0}, {1, 1}, api.End(1), {2, 0}, api.End(math.MaxInt64)}
	for i, p := range ordered {
		for j, q := range ordered {
			if got := p.Compare(q); got < 0 != (i < j) || got > 0 != (i > j) || p.After(q) != (i > j) {
				t.Errorf("%v compared to %v is %d", p, q, got)
			}
		}
		if back, err := api.ParsePosition(p.String()); err != nil || back != p {
			t.Errorf("%v comes back as %v, %v", p, back, err)
		}
	}
	if p, err := api.ParsePosition("12"); err != nil || p != api.End(12) || p.String() != "12" {
		t.Errorf("a bare revision is %v, %v", p, err)
	}
	for _, s := range []string{"", ".", "1.", ".1", "-1.0", "1.-1", "+1.0", "1.+1", "01.0", "1.00", " 1.0", "1.0 ", "1.0.0", "1,0", "0x1.0", "1_0.0",
		"9223372036854775808.0", "1.2147483648", "1.2147483647", "18446744073709551616"} {
		if p, err := api.ParsePosition(s); err == nil {
			t.Errorf("%q is taken as %v", s, p)
		}
	}
}

func TestEpochs(t *testing.T) {
	ordered := []api.Epoch{{}, {0, 1}, {1, 0}, {1, math.MaxUint64}, {2, 0}, {math.MaxUint64, 0}}
	for i, p := range ordered {
		for j, q := range ordered {
			if got := p.Compare(q); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%v compared to %v is %d", p, q, got)
			}
		}
		if back, err := api.ParseEpoch(p.String()); err != nil || back != p {
			t.Errorf("%v comes back as %v, %v", p, back, err)
		}
	}
	for _, s := range []string{"", ".", "1", "1.", ".1", "-1.0", "01.0", "1.01", "1.0.0", "18446744073709551616.0"} {
		if e, err := api.ParseEpoch(s); err == nil {
			t.Errorf("%q is taken as %v", s, e)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	f.Add("12.0")
	f.Add("12")
	f.Add("0")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := api.ParsePosition(s)
		if err == nil && p.String() != s {
			t.Fatalf("%q is taken as %v", s, p)
		}
	})
}

func FuzzParseEpoch(f *testing.F) {
	f.Add("3.1")
	f.Fuzz(func(t *testing.T, s string) {
		if e, err := api.ParseEpoch(s); err == nil && e.String() != s {
			t.Fatalf("%q is taken as %v", s, e)
		}
	})
}
