package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// idleCut is how long the proxy lets a stream be silent before it cuts it.
const idleCut = 5 * time.Second

// nginx is an nginx of the distribution in front of a server's gRPC, with its files
// in a folder of the test. Clients reach it through a Unix socket: it cannot be told
// to pick a port and say which.
type nginx struct {
	cmd    *exec.Cmd
	target string // for gRPC clients
}

// startNginx starts a proxy to the gRPC address, and waits until it listens.
func startNginx(t *testing.T, upstream string) *nginx {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "grpc.sock")
	config := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(config, nginxConfig(dir, socket, upstream), 0o600))
	n := &nginx{
		cmd:    exec.Command(nginxBinary(t), "-e", "stderr", "-p", dir, "-c", config),
		target: "unix:" + socket,
	}
	n.cmd.Stderr = t.Output()
	require.NoError(t, n.cmd.Start())
	t.Cleanup(func() {
		_ = n.cmd.Process.Signal(syscall.SIGTERM) // not SIGKILL, which its workers would survive
		_ = n.cmd.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}, 30*time.Second, 5*time.Millisecond, "nginx does not listen")
	return n
}

// reload has nginx read its configuration again: new workers take over, and the old
// ones have a second to end what they have.
func (n *nginx) reload(t *testing.T) {
	t.Helper()
	require.NoError(t, n.cmd.Process.Signal(syscall.SIGHUP))
}

// nginxBinary looks where Debian puts it, too, which is in the path of root only.
func nginxBinary(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("this test needs nginx; install it with: apt-get install nginx")
	return ""
}

func nginxConfig(dir, socket, upstream string) []byte {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // else its workers are somebody who may not use the folder
	}
	return fmt.Appendf(nil, `
daemon off;
%s
pid %[2]s/nginx.pid;
worker_processes 1;
worker_shutdown_timeout 1s;
events {}
http {
	access_log off;
	client_body_temp_path %[2]s/body;
	proxy_temp_path       %[2]s/proxy;
	fastcgi_temp_path     %[2]s/fastcgi;
	uwsgi_temp_path       %[2]s/uwsgi;
	scgi_temp_path        %[2]s/scgi;
	server {
		listen unix:%[3]s http2;
		location / {
			grpc_pass grpc://%[4]s;
			grpc_read_timeout %[5]ds;
		}
	}
}
`, user, dir, socket, upstream, int(idleCut.Seconds()))
}
