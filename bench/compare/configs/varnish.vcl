# Varnish as a cache of answers that say nothing about their freshness; the request's cookie, which the others don't mind, is no hindrance.
vcl 4.1;

backend app {
    .host = "127.0.0.1";
    .port = "19101";
}

sub vcl_recv {
    return (hash);
}
