// SPDX-License-Identifier: Apache-2.0

// Package quic stands in for the module of this name when go-micro v1 is
// built. Its quic transport is linked into every v1 program, and the QUIC of
// its days panics at start under a current Go. Nothing here uses QUIC: what
// the transport calls is declared, and answers with an error.
package quic

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// Config holds the two settings that the transport gives.
type Config struct {
	IdleTimeout time.Duration
	KeepAlive   bool
}

// Stream is one byte stream of a session.
type Stream interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
	Close() error
	SetWriteDeadline(time.Time) error
}

// Session is one connection.
type Session interface {
	OpenStreamSync(context.Context) (Stream, error)
	AcceptStream(context.Context) (Stream, error)
	Close() error
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
}

// Listener accepts sessions.
type Listener interface {
	Accept(context.Context) (Session, error)
	Addr() net.Addr
	Close() error
}

var errNone = errors.New("quic is not part of this build")

// DialAddr always fails.
func DialAddr(string, *tls.Config, *Config) (Session, error) { return nil, errNone }

// ListenAddr always fails.
func ListenAddr(string, *tls.Config, *Config) (Listener, error) { return nil, errNone }
