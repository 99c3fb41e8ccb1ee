//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/kvorum/kvorum/libs/svc"
)

// stack is the repository's compose project under a name and on ports of its own.
type stack struct {
	project string
	compose []string // the command: "docker compose" or "docker-compose"
	env     []string
	image   string
}

// newStack brings the stack up, with an image that holds the binaries in a folder.
func newStack(dir, bin string) (*cluster, error) {
	s := &stack{project: fmt.Sprintf("kvorumtorture%d", os.Getpid()), image: "kvorum-torture:local", compose: []string{"docker", "compose"}}
	if exec.Command("docker", "compose", "version").Run() != nil {
		s.compose = []string{"docker-compose"}
	}
	if err := s.makeImage(bin); err != nil {
		return nil, err
	}
	s.env = append(os.Environ(), "KVORUM_IMAGE="+s.image)
	c := &cluster{dir: dir, excused: map[string]int{}, stack: s}
	for i := range nodesCount {
		l, err := svc.ListenFree()
		if err != nil {
			return nil, err
		}
		_, port, _ := net.SplitHostPort(l.Addr().String()) // it was split before
		if err := l.Close(); err != nil {
			return nil, err
		}
		s.env = append(s.env, fmt.Sprintf("KVORUM_PORT_%d=%s", i+1, port))
		name := fmt.Sprintf("node-%d", i+1)
		c.nodes = append(c.nodes, &node{member: &container{s, name}, url: "nats://127.0.0.1:" + port, disk: plainDisk{}})
	}
	for i := range fanoutsCount {
		c.fanouts = append(c.fanouts, &container{s, fmt.Sprintf("watch-%d", i+1)})
	}
	if _, err := s.run("up", "--no-build", "--detach"); err != nil {
		return nil, errors.Join(err, s.close(""))
	}
	return c, nil
}

// makeImage imports the programs as an image, so that no registry is needed.
func (s *stack) makeImage(bin string) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, name := range []string{"kvorum-node", "kvorum-watch", "kvorum"} {
		content, err := os.ReadFile(filepath.Join(bin, name))
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	cmd := exec.Command("docker", "import", "-", s.image)
	cmd.Stdin = &archive
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd, err, out)
	}
	return nil
}

// run runs a compose command on the project.
func (s *stack) run(args ...string) (string, error) {
	command := append(append(append([]string{}, s.compose...), "--project-name", s.project), args...)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = s.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", cmd, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// close removes all that the stack consists of; with a folder, it leaves what
// the containers printed there.
func (s *stack) close(keep string) error {
	if keep != "" {
		if logs, err := s.run("logs", "--no-color"); err == nil {
			_ = os.WriteFile(filepath.Join(keep, "containers.log"), []byte(logs), 0o600) // what can be kept
		}
	}
	_, err := s.run("down", "--volumes", "--remove-orphans", "--timeout=5")
	return errors.Join(err, command("docker", "rmi", "--force", s.image))
}

// container is a member that is a container of the stack.
type container struct {
	stack *stack
	name  string
}

func (c *container) Name() string { return c.name }

// id is the number of the container.
func (c *container) id() (string, error) {
	out, err := exec.Command("docker", "ps", "--all", "--quiet",
		"--filter", "label=com.docker.compose.project="+c.stack.project, "--filter", "label=com.docker.compose.service="+c.name).Output()
	return strings.TrimSpace(string(out)), err
}

// docker runs a docker command whose last argument is the container.
func (c *container) docker(args ...string) error {
	id, err := c.id()
	if err != nil {
		return err
	}
	return command("docker", append(args, id)...)
}

func (c *container) Start() error { return c.docker("start") }

// Kill and the others tell of a container that is down already with an error,
// which is what was wanted.
func (c *container) Kill() { _ = c.docker("kill") }

func (c *container) Terminate(patience time.Duration) bool {
	return c.docker("stop", fmt.Sprintf("--time=%d", int(patience.Seconds()))) == nil
}

func (c *container) Pause()    { _ = c.docker("pause") }
func (c *container) Continue() { _ = c.docker("unpause") }

func (c *container) Log() string {
	id, err := c.id()
	if err != nil {
		return err.Error()
	}
	out, _ := exec.Command("docker", "logs", "--tail=200", id).CombinedOutput() // nothing, then
	return string(out)
}

// disconnect takes a container off the stack's network for a while, with the
// clients that came through it.
func (f *fault) disconnect(n *node) error {
	c := n.member.(*container)
	if err := c.docker("network", "disconnect", c.stack.project+"_default"); err != nil {
		return err
	}
	f.holdCut()
	return c.docker("network", "connect", "--alias", c.name, c.stack.project+"_default")
}
