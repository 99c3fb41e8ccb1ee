package containers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kvorum/kvorum/libs/svc"
)

// patience bounds every wait for the stack: long enough for a small machine
// that is busy, short enough to end before the test's own limit.
const patience = 2 * time.Minute

// productImage is what the stack under test runs.
const productImage = "kvorum-test:local"

// stack is the repository's compose project under a name and on ports of its
// own, so that it disturbs no stack that runs already.
type stack struct {
	t       *testing.T
	repo    string
	project string
	compose []string // the command: "docker compose" or "docker-compose"
	env     []string
	urls    []string // of node-1, node-2, node-3
}

// startStack builds the image and brings the stack up; the end of the test
// removes containers, network and volumes.
func startStack(t *testing.T) *stack {
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{t: t, repo: repo, project: fmt.Sprintf("kvorumtest%d", os.Getpid())}
	s.compose = []string{"docker", "compose"}
	if exec.Command("docker", "compose", "version").Run() != nil {
		s.compose = []string{"docker-compose"}
	}
	builder := os.Getenv("KVORUM_BUILDER_IMAGE")
	if builder == "" {
		builder = builderImage
		makeBuilder(t, repo)
	}
	s.env = []string{
		"KVORUM_IMAGE=" + productImage,
		"KVORUM_VERSION=container-test",
		"KVORUM_BUILDER_IMAGE=" + builder,
	}
	for i, port := range freePorts(t, 3) {
		s.env = append(s.env, fmt.Sprintf("KVORUM_PORT_%d=%d", i+1, port))
		s.urls = append(s.urls, fmt.Sprintf("nats://127.0.0.1:%d", port))
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.run("logs", "--no-color", "--tail=60"))
		}
		s.run("down", "--volumes", "--remove-orphans", "--timeout=5")
		// Either may never have been made.
		exec.Command("docker", "rmi", productImage).Run()
		exec.Command("docker", "rmi", builderImage).Run()
		// Untagged ones only: the build stage, and products built before.
		output(t, repo, nil, "docker", "image", "prune", "--force", "--filter", "label=org.kvorum.stage")
	})
	s.run("up", "--build", "--detach")
	return s
}

// run runs a compose command on the project.
func (s *stack) run(args ...string) string {
	s.t.Helper()
	command := append(append(append([]string{}, s.compose...), "--project-name", s.project), args...)
	return output(s.t, s.repo, s.env, command[0], command[1:]...)
}

// container is the id of a service's container.
func (s *stack) container(service string) string {
	s.t.Helper()
	return output(s.t, s.repo, nil, "docker", "ps", "--all", "--quiet",
		"--filter", "label=com.docker.compose.project="+s.project,
		"--filter", "label=com.docker.compose.service="+service)
}

// docker runs a docker command whose last argument is a service's container.
func (s *stack) docker(service string, args ...string) string {
	s.t.Helper()
	return output(s.t, s.repo, nil, "docker", append(args, s.container(service))...)
}

// waitHealthy waits until the health checks of services pass.
func (s *stack) waitHealthy(services ...string) {
	s.t.Helper()
	for _, service := range services {
		s.eventually(service+" is healthy", func() error {
			if health := s.docker(service, "inspect", "--format={{.State.Health.Status}}"); health != "healthy" {
				return fmt.Errorf("it is %s", health)
			}
			return nil
		})
	}
}

// cut takes a service's container off the stack's network, heal puts it back
// under its name.
func (s *stack) cut(service string) {
	output(s.t, s.repo, nil, "docker", "network", "disconnect", s.project+"_default", s.container(service))
}

func (s *stack) heal(service string) {
	output(s.t, s.repo, nil, "docker", "network", "connect", "--alias", service, s.project+"_default", s.container(service))
}

// eventually polls a condition until it holds.
func (s *stack) eventually(what string, condition func() error) {
	s.t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if err = condition(); err == nil {
			return
		}
	}
	s.t.Fatalf("not within %v: %s: %v", patience, what, err)
}

// freePorts finds ports of 127.0.0.1 that nobody listens on now.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := svc.ListenFree()
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// output runs a command in a folder and returns its trimmed standard output; a
// failure of the command fails the test.
func output(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, &stdout, &stderr)
	}
	return strings.TrimSpace(stdout.String())
}
