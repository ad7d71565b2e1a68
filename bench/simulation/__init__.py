"""The server's own pacer, scheduler and admission in virtual time, on machines with given costs."""
