package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// stopGrace is how long the children have to stop in order before they are
// killed.
const stopGrace = 10 * time.Second

// cluster runs the children. One goroutine, that of run, owns it.
type cluster struct {
	stdout, stderr io.Writer
	grace          time.Duration
	children       []*child
	exits          chan *child
}

func newCluster(stdout, stderr io.Writer) *cluster {
	return &cluster{stdout: stdout, stderr: stderr, grace: stopGrace}
}

func (c *cluster) add(children ...*child) { c.children = append(c.children, children...) }

// run starts all children, waits for ready, announces the cluster and stays
// until ctx ends (nil) or no storage node is left (an error). A child that ends
// before ready is an error, too: the cluster was never whole. It returns after
// every child has ended.
func (c *cluster) run(ctx context.Context, announcement string, ready func(context.Context) error) error {
	c.exits = make(chan *child, len(c.children))
	defer c.stop()
	for _, ch := range c.children {
		if err := ch.start(c.exits); err != nil {
			return fmt.Errorf("starting %s: %w", ch.name, err)
		}
	}
	if err := c.awaitReady(ctx, ready); err != nil || ctx.Err() != nil {
		return err
	}
	fmt.Fprint(c.stdout, announcement)
	fmt.Fprintln(c.stdout, "ready")
	for c.nodesLeft() > 0 {
		select {
		case <-ctx.Done():
			return nil
		case ch := <-c.exits:
			c.ended(ch)
			fmt.Fprintf(c.stderr, "kvorum dev: %s ended (%s), the rest goes on; start it again with:\n  %s\n", ch.name, ch.outcome(), ch.command())
		}
	}
	return errors.New("no node is left")
}

// awaitReady returns nil when the cluster is ready or ctx has ended.
func (c *cluster) awaitReady(ctx context.Context, ready func(context.Context) error) error {
	readyCtx, cancel := context.WithCancel(ctx)
	result := make(chan error, 1)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		result <- ready(readyCtx)
	}()
	defer func() {
		cancel()
		<-finished
	}()
	select {
	case <-ctx.Done():
		return nil
	case err := <-result:
		if ctx.Err() != nil {
			return nil
		}
		return err
	case ch := <-c.exits:
		c.ended(ch)
		return fmt.Errorf("%s ended before the cluster was ready (%s); its log ends with:\n%s", ch.name, ch.outcome(), ch.lastWords())
	}
}

func (c *cluster) nodesLeft() int {
	n := 0
	for _, ch := range c.children {
		if ch.node && !ch.ended {
			n++
		}
	}
	return n
}

// ended takes note of a child's end.
func (c *cluster) ended(ch *child) {
	ch.ended = true
	os.Remove(ch.pidFile())
}

// stop ends all children that run: in order, and after the grace by force.
func (c *cluster) stop() {
	left := 0
	for _, ch := range c.children {
		if ch.running() {
			left++
			ch.cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	force := time.NewTimer(c.grace)
	defer force.Stop()
	for left > 0 {
		select {
		case ch := <-c.exits:
			c.ended(ch)
			left--
		case <-force.C:
			for _, ch := range c.children {
				if ch.running() {
					fmt.Fprintf(c.stderr, "kvorum dev: %s has not stopped within %v and is killed\n", ch.name, c.grace)
					ch.cmd.Process.Kill()
				}
			}
		}
	}
}
