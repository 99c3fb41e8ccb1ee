package natsbus

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// childEnv makes the test binary run a node of the peer bus, so that a test can
// kill a real process.
const childEnv = "NATSBUS_TEST_CHILD"

// runChild runs the node, for ever, if this process is the child.
func runChild() bool {
	text := os.Getenv(childEnv)
	if text == "" {
		return false
	}
	var cfg PeerConfig
	err := json.Unmarshal([]byte(text), &cfg)
	if err == nil {
		_, err = StartPeer(context.Background(), cfg, &sink{})
	}
	if err != nil {
		fmt.Println(err)
		return true
	}
	fmt.Println("ready")
	_, _ = os.Stdin.Read(make([]byte, 1)) // ends with the parent
	return true
}

// startChild runs a node in a process of its own and returns it when it runs.
func startChild(t *testing.T, cfg PeerConfig) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		t.Fatalf("child: %q, %v", line, err)
	}
	return cmd
}
