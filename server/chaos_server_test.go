package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/wabastream/wabastream/server/internal/access"
	"github.com/wabastream/wabastream/server/internal/accounts"
	"github.com/wabastream/wabastream/server/internal/eventlog"
	"github.com/wabastream/wabastream/server/internal/eventlog/pebblelog"
	"github.com/wabastream/wabastream/server/internal/retention"
	"github.com/wabastream/wabastream/server/internal/stream"
	"github.com/wabastream/wabastream/server/internal/webhook"
)

// victim is a server that is brought down and up again on the same data. Its
// methods are for the test's goroutine, but for the addresses.
type victim interface {
	start()
	// kill ends it without a word, stop in order.
	kill()
	stop()
	// open opens its log while it is down; the caller closes it.
	open() *pebblelog.Log

	grpcAddr() string // empty while it is down
	httpAddr() string
}

// addresses are read by links while the server is replaced.
type addresses struct{ grpc, http atomic.Pointer[string] }

func (a *addresses) set(grpcAddr, httpAddr string) {
	a.grpc.Store(&grpcAddr)
	a.http.Store(&httpAddr)
}

func (a *addresses) grpcAddr() string { return *a.grpc.Load() }
func (a *addresses) httpAddr() string { return *a.http.Load() }

// processVictim is a server process: kill is kill -9.
type processVictim struct {
	addresses

	t       *testing.T
	dir     string
	process *process
}

func newProcessVictim(t *testing.T) *processVictim {
	t.Helper()
	v := &processVictim{t: t, dir: t.TempDir()}
	v.set("", "")
	return v
}

func (v *processVictim) start() {
	v.t.Helper()
	v.process = startProcess(v.t, v.dir)
	v.set(v.process.grpc, v.process.find(`callbacks +http://([^/]+)`))
}

func (v *processVictim) kill() {
	v.process.kill()
	v.set("", "")
}

func (v *processVictim) stop() {
	v.t.Helper()
	require.NoError(v.t, v.process.stop())
	v.set("", "")
}

func (v *processVictim) open() *pebblelog.Log {
	v.t.Helper()
	log, err := pebblelog.Open(v.t.Context(), v.dir, pebblelog.Options{})
	require.NoError(v.t, err)
	_, err = log.Project(v.t.Context(), accounts.Projection()) // else nothing may be removed from it
	require.NoError(v.t, err)
	return log
}

// powerVictim is a server inside the test, on a disk in memory: kill is a power
// cut, after which only what was synced is sure to be there. Retention trims it all
// the time.
type powerVictim struct {
	addresses

	t        *testing.T
	random   *rand.Rand
	trims    *trims
	policy   retention.Policy
	network  func() []*link
	disk     *crashDisk
	syncs    syncs
	cut      *atomic.Bool // of the server that runs
	shutDown func()
}

func newPowerVictim(t *testing.T, random *rand.Rand, trims *trims, network func() []*link) *powerVictim {
	t.Helper()
	age := time.Duration(300+random.IntN(900)) * time.Millisecond
	v := &powerVictim{
		t: t, random: random, trims: trims, network: network,
		disk: &crashDisk{MemFS: vfs.NewCrashableMem()},
		policy: retention.Policy{
			MaxAge: age,
			Types:  []retention.TypeRule{{Paths: []string{"messages"}, MaxAge: age / 4}},
		},
	}
	v.set("", "")
	return v
}

func (v *powerVictim) open() *pebblelog.Log {
	v.t.Helper()
	log, err := pebblelog.Open(v.t.Context(), "log", pebblelog.Options{
		// So small that everything is rotated, flushed and indexed all the time.
		FS: slowDisk{errorfs.Wrap(v.disk, &v.syncs), &v.syncs}, MemTableBytes: 256 << 10, CacheBytes: 1 << 20, IndexBatch: 100, RecentIDs: 1000,
		LockWait: -1,
	})
	require.NoError(v.t, err)
	return log
}

// start puts the server together as package app does, but for the disk, how often
// retention runs, and REST.
func (v *powerVictim) start() {
	v.t.Helper()
	v.cut = new(atomic.Bool)
	log := v.open()
	front, err := webhook.New(webhook.Config{Sources: []webhook.Source{{Name: "nxcloud", AllowUnsigned: true}}, Log: log})
	require.NoError(v.t, err)
	service := stream.New(stream.Config{Log: log, Version: "chaos", RecentBytes: 64 << 10})
	grpcServer := grpc.NewServer(stream.ServerOption(), grpc.StreamInterceptor(admitAnyone), grpc.UnaryInterceptor(admitAnyonesCall))
	service.Register(grpcServer)
	httpServer := &http.Server{Handler: front, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}
	keeper := retention.New(retention.Config{Log: trimmedLog{log, v.trims, v.cut}, Policy: v.policy, Interval: 50 * time.Millisecond})

	var servers sync.WaitGroup
	keeping, stopKeeping := context.WithCancel(context.Background())
	grpcListener, httpListener := v.listen(), v.listen()
	servers.Go(func() { _ = grpcServer.Serve(grpcListener) })
	servers.Go(func() { _ = httpServer.Serve(httpListener) })
	servers.Go(func() { keeper.Run(keeping) })
	v.shutDown = func() {
		_ = httpServer.Shutdown(context.Background())
		service.Drain()
		patience := time.AfterFunc(time.Second, grpcServer.Stop) // for those that do not read
		grpcServer.GracefulStop()
		patience.Stop()
		stopKeeping()
		servers.Wait()
		service.Close()
		_ = log.Close() // fails when a trim is not finished after a power cut
	}
	v.set(grpcListener.Addr().String(), httpListener.Addr().String())
}

// admitAnyone lets every subscriber see everything, as a server without consumers does.
func admitAnyone(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	session := access.NewSession(access.Caller{Grant: access.Everything()})
	return handler(srv, admitted{ss, access.NewContext(ss.Context(), session)})
}

func admitAnyonesCall(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return handler(access.NewContext(ctx, access.NewSession(access.Caller{Grant: access.Everything()})), req)
}

type admitted struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // gRPC asks a stream for its context
}

func (a admitted) Context() context.Context { return a.ctx }

func (v *powerVictim) listen() net.Listener {
	v.t.Helper()
	l, err := new(net.ListenConfig).Listen(v.t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(v.t, err)
	return l
}

func (v *powerVictim) stop() {
	v.set("", "")
	v.shutDown()
}

// kill hangs the disk at first: what is sent from then on was not synced before.
// Then it lets nothing out any more, and takes the image of the disk that the power
// cut leaves behind. What clients have received by then must be on it.
func (v *powerVictim) kill() {
	const hanging = 20 * time.Millisecond
	v.syncs.freeze()
	pause(v.t.Context(), hanging)
	v.set("", "")
	for _, l := range v.network() {
		l.sever()
	}
	image := v.disk.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: []int{0, 50}[v.random.IntN(2)],
		RNG:                 rand.New(rand.NewPCG(v.random.Uint64(), v.random.Uint64())),
	})
	v.cut.Store(true)
	v.syncs.thaw()
	v.shutDown()
	v.disk = &crashDisk{MemFS: image}
	for _, l := range v.network() {
		l.restore()
	}
}

// syncs makes each sync of a disk take as long as on a real one, and longer while
// they are frozen.
type syncs struct {
	mu     sync.Mutex
	frozen chan struct{} // closed by thaw; nil while it thaws; guarded by mu
}

func (*syncs) String() string { return "slow syncs" }

func (s *syncs) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		pause(context.Background(), 2*time.Millisecond)
		s.mu.Lock()
		frozen := s.frozen
		s.mu.Unlock()
		if frozen != nil {
			<-frozen
		}
	}
	return nil
}

func (s *syncs) freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = make(chan struct{})
}

func (s *syncs) thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.frozen)
	s.frozen = nil
}

// slowDisk also slows files that are used again, which errorfs lets go.
type slowDisk struct {
	*errorfs.FS
	syncs *syncs
}

func (d slowDisk) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(oldname, newname, category)
	if err != nil {
		return nil, err
	}
	return errorfs.WrapFile(f, d.syncs), nil
}

// crashDisk is a disk of which images can be taken at any time: vfs.MemFS by itself
// locks up when that meets the making of a link or of a lock, which take its read
// lock twice.
type crashDisk struct {
	*vfs.MemFS
	linking sync.Mutex
}

func (d *crashDisk) Link(oldname, newname string) error {
	d.linking.Lock()
	defer d.linking.Unlock()
	return d.MemFS.Link(oldname, newname)
}

func (d *crashDisk) Lock(name string) (io.Closer, error) {
	d.linking.Lock()
	defer d.linking.Unlock()
	return d.MemFS.Lock(name)
}

func (d *crashDisk) CrashClone(cfg vfs.CrashCloneCfg) *vfs.MemFS {
	d.linking.Lock()
	defer d.linking.Unlock()
	return d.MemFS.CrashClone(cfg)
}

// trimmedLog is a log that keeps account of what is removed from it.
type trimmedLog struct {
	eventlog.Log
	trims *trims
	cut   *atomic.Bool // the power was cut: what the log does from then on never happened
}

func (l trimmedLog) Trim(ctx context.Context, upTo eventlog.Sequence) error {
	return errors.Join(l.trims.note(ctx, l.Log, "", upTo, l.cut), l.Log.Trim(ctx, upTo))
}

func (l trimmedLog) TrimType(ctx context.Context, path string, upTo eventlog.Sequence) error {
	return errors.Join(l.trims.note(ctx, l.Log, path, upTo, l.cut), l.Log.TrimType(ctx, path, upTo))
}
