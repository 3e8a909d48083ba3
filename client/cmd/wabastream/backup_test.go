package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

// keeper stands in for a server's backups. It has one, named "taken".
type keeper struct {
	wabastreamv1.UnimplementedAdminServiceServer
}

func (keeper) CreateBackup(_ context.Context, req *wabastreamv1.CreateBackupRequest) (*wabastreamv1.CreateBackupResponse, error) {
	id := req.GetBackupId()
	if id == "taken" {
		s, err := status.New(codes.AlreadyExists, "it is there\x1b[2J").WithDetails(
			&errdetails.ErrorInfo{Domain: "wabastream", Reason: "BACKUP_EXISTS"})
		if err != nil {
			return nil, err
		}
		return nil, s.Err()
	}
	if id == "" {
		id = "20260131-235959"
	}
	return &wabastreamv1.CreateBackupResponse{Backup: &wabastreamv1.Backup{
		BackupId: id, Path: "/srv/backups/" + id, HeadCursor: "cHEAD", EventCount: 1234567, SizeBytes: 812 << 20,
		CreateTime: &timestamppb.Timestamp{Seconds: 1769903999},
	}}, nil
}

func TestGrouped(t *testing.T) {
	t.Parallel()
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", 100000: "100,000"} {
		require.Equal(t, want, grouped(n))
	}
}

func TestBinaryBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[uint64]string{
		0: "0 bytes", 1023: "1023 bytes", 1024: "1 KiB", 1536: "1.5 KiB", 812 << 20: "812 MiB",
		1<<20 - 1: "1 MiB", 1023 << 20: "0.999 GiB", 5 << 30: "5 GiB", 1 << 63: "8 EiB",
	} {
		require.Equal(t, want, binaryBytes(n))
	}
}
