package visitors

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// Listener returns l without the connections that are too many: they are closed at once, before anything is read.
// Connections that may stay count until they close, or a request on them shows a session.
func (v *Visitors) Listener(l net.Listener) net.Listener { return &listener{l, v} }

type listener struct {
	net.Listener
	visitors *Visitors
}

// Accept returns the next connection that may stay.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c = l.visitors.connected(c); c != nil {
			return c, nil
		}
	}
}

// connected counts a connection and returns it, or closes it and returns nil.
func (v *Visitors) connected(c net.Conn) net.Conn {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return c // no connection of TCP
	}
	key, counts := v.whose(at.Addr())
	if !counts {
		return c
	}
	if may, _ := v.enter(key, conns); !may {
		v.leave(key, conns)
		_ = c.Close()
		v.refused(key, "connection")
		return nil
	}
	return &conn{Conn: c, known: sync.OnceFunc(func() { v.leave(key, conns) })}
}

// conn is a connection that counts until it closes or known is called.
type conn struct {
	net.Conn
	known func()
}

// Close ends the connection and its counting.
func (c *conn) Close() error {
	c.known()
	return c.Conn.Close()
}

// CloseWrite ends the hub's half, as net/http does before it closes a connection on which data is still coming.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

type connKey struct{}

// ConnContext is http.Server.ConnContext: it lets Handler find a request's connection.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if outer, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = outer.NetConn()
	}
	if counted, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, counted)
	}
	return ctx
}

// known ends the counting of a request's connection.
func known(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		c.known()
	}
}
