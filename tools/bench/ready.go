package main

import (
	"context"
	"fmt"
	"time"
)

// startTimeout bounds a cluster's start.
const startTimeout = 2 * time.Minute

// allReady waits until each of n servers is.
func allReady(ctx context.Context, n int, ready func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := inParallel(n, func(i int) error { return ready(ctx, i) }); err != nil {
		return fmt.Errorf("not all servers answer: %w", err)
	}
	return nil
}

// inParallel calls do for 0 to n-1 at the same time and gives one of its errors.
func inParallel(n int, do func(i int) error) (err error) {
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- do(i) }()
	}
	for range n {
		if e := <-errs; e != nil {
			err = e
		}
	}
	return err
}
