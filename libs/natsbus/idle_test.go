package natsbus
import ("testing";"time";"syscall")
func cpu(t *testing.T, what string) {
	var x, y syscall.Rusage
	time.Sleep(22*time.Second)
	syscall.Getrusage(0, &x)
	time.Sleep(8*time.Second)
	syscall.Getrusage(0, &y)
	d := func(r syscall.Rusage) float64 { return float64(r.Utime.Sec+r.Stime.Sec)+float64(r.Utime.Usec+r.Stime.Usec)/1e6 }
	t.Logf("%s cpu %.4f of a core", what, (d(y)-d(x))/8)
}
func TestIdleCPU(t *testing.T) {
	a := startClient(t, clientConfig("a", "127.0.0.1:0"))
	b := startClient(t, clientConfig("b", "127.0.0.1:0", a.RouteAddress()))
	startClient(t, clientConfig("c", "127.0.0.1:0", a.RouteAddress(), b.RouteAddress()))
	startPeers(t, 3)
	cpu(t, "both")
}
