import type { Child, Workspace } from './harness/index.js';

/**
 * nginx in the foreground, with what it writes below the workspace's directory. `http`: what its http block has in it.
 * `connections`: of each of its workers, at most.
 */
export function startNginx(space: Workspace, http: string, { workers = 2, connections = 512 } = {}): Child {
  const config = space.write(
    'nginx.conf',
    `daemon off; worker_processes ${workers}; pid ${space.path('nginx.pid')}; error_log stderr; ${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections ${connections}; }
http {
  access_log off; client_body_temp_path ${space.path('body')}; proxy_temp_path ${space.path('proxy')};
  fastcgi_temp_path ${space.path('fastcgi')}; uwsgi_temp_path ${space.path('uwsgi')}; scgi_temp_path ${space.path('scgi')};
  ${http}
}
`,
  );
  return space.start('/usr/sbin/nginx', ['-p', space.dir, '-c', config, '-e', 'stderr'], {});
}
