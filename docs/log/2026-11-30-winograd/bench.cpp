#include <cstdio>
#include <ctime>
#include <algorithm>
#include "sample.h"
static double now(){timespec t;clock_gettime(CLOCK_PROCESS_CPUTIME_ID,&t);return t.tv_sec+1e-9*t.tv_nsec;}
int main(int n,char**a){
  std::size_t w=atoi(a[1]),u=atoi(a[2]);int blocks=atoi(a[3]),units=atoi(a[4]);std::string k=a[5];int rounds=atoi(a[6]);
  drrn::Sample s(1,1,u,w,blocks,units,1,true,true);
  std::size_t H=240,W=2048; H*=u;W*=u; auto x=s.noise(H*W);
  double best=1e9;
  for(int r=0;r<rounds;++r){double t=now();s.streamed(x,H,W,1,k,H,256<<10);best=std::min(best,now()-t);}
  std::printf("w%zu u%zu B%dU%d %s %.3f s/MP\n",w,u,blocks,units,k.c_str(),best/(H*W/1e6));
}
