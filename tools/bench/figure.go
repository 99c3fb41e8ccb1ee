package main

import (
	"fmt"
	"slices"
)

// figure is a median with the spread around it.
type figure struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// figureOf is the figure of some values, at least one.
func figureOf(values []float64) figure {
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	return figure{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]}
}

// figureIn is the figure of one value of some results, at least one.
func figureIn(list []result, of func(result) float64) figure {
	values := make([]float64, len(list))
	for i, r := range list {
		values[i] = of(r)
	}
	return figureOf(values)
}

// ratio compares two systems repeat by repeat, which takes out what the whole
// machine does more slowly in one of them. ok is false where there is nothing to
// compare.
func ratio(a, b []result, of func(result) float64) (f figure, ok bool) {
	var values []float64
	for i := range min(len(a), len(b)) {
		if to := of(b[i]); to != 0 {
			values = append(values, of(a[i])/to)
		}
	}
	if len(values) == 0 {
		return figure{}, false
	}
	return figureOf(values), true
}

func (f figure) String() string {
	if f.Low == f.High {
		return short(f.Median)
	}
	return fmt.Sprintf("%s (%s-%s)", short(f.Median), short(f.Low), short(f.High))
}

// short prints a number with three digits or so.
func short(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 99_950:
		return fmt.Sprintf("%.0fk", v/1000)
	case v >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case v >= 9.995:
		return fmt.Sprintf("%.1f", v)
	case v >= 0.0995:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.4f", v)
}
